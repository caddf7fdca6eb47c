"""What every check is handed, and the digests that pin down what it looked at.

Guards a finding from being disputed later: the samples name leaves of the log that anybody can prove, and the last
digest covers all of them, in order.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weighthouse.assurance.model import SAMPLES, Finding, Result
from weighthouse.core import canonical
from weighthouse.core.clock import Millis


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One log entry as a check sees it; `leaf` is `sha256:<hex>` of the leaf's bytes."""

    index: int
    at: Millis
    kind: str
    subject: str
    data: dict[str, object]
    leaf: str


def samples(facts: Sequence[Fact], failing: Sequence[int]) -> tuple[str, ...]:
    """Return digests of up to `SAMPLES` leaves, failing ones first, and one digest over all leaves."""
    if not facts:
        return ()
    bad = frozenset(failing)
    ordered = sorted(facts, key=lambda one: (one.index not in bad, one.index))
    return (*(one.leaf for one in ordered[:SAMPLES]), canonical.digest([one.leaf for one in facts]))


def finding(facts: Sequence[Fact], failing: Sequence[int], good: str, bad: str, nothing: str) -> Finding:
    """Return the finding of a check that passes when none of `facts` fails, and tests nothing when there are none."""
    if not facts:
        return Finding(result="not-tested", detail=nothing, population=0)
    result: Result = "not-satisfied" if failing else "satisfied"
    return Finding(
        result=result,
        detail=bad if failing else good,
        population=len(facts),
        failing=tuple(failing),
        samples=samples(facts, failing),
    )
