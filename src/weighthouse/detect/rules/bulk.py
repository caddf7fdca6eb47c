"""Bulk reads of weights (ATT&CK T1530, ATLAS AML.T0035): more loads or bytes than a person's work needs.

Guards weights from an insider, or a stolen account, whose every single read is permitted. Promises: reads already
answered by an earlier alert never fire again, and reads of another person never add up to yours.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.core.clock import MINUTE, Millis
from weighthouse.detect.model import BULK, Incident, Read

EVIDENCE_LIMIT = 64


def find(reads: Iterable[Read], loads: int, size: int, window: Millis) -> Incident | None:
    """Return an incident once more than `loads` loads or `size` bytes fall into one sliding window, else None.

    `reads` are of one person, in any order; a read that arrives twice (same index) counts once. A limit of 0 or less
    switches that measure off. The window that first exceeds a limit is the one reported, whole.
    """
    ordered = sorted({one.index: one for one in reads}.values(), key=lambda one: (one.at, one.index))
    start = 0
    count = total = 0
    for end, newest in enumerate(ordered):
        count += newest.loads
        total += newest.bytes
        while ordered[start].at <= newest.at - window:
            count -= ordered[start].loads
            total -= ordered[start].bytes
            start += 1
        if (loads > 0 and count > loads) or (size > 0 and total > size):
            inside = ordered[start : end + 1]
            return Incident(
                rule=BULK,
                key=f"{BULK}:{newest.person}:{inside[0].index}",
                severity="high",
                principal=newest.person,
                session="",
                evidence=tuple(sorted(one.index for one in inside)[-EVIDENCE_LIMIT:]),
                text=f"{count} reads of weights, {total} bytes, within {window // MINUTE} minutes; "
                f"the limits are {loads} reads and {size} bytes.",
            )
    return None
