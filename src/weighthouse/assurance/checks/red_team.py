"""E-19: the red-team score. Guards the claim "attacks are stopped" from the attacks nobody ran this time.

Only the newest outcome of each scenario counts, and only while it is fresh: an attack that was stopped last month
says nothing about the guard of today. One that was missed fails the check, however old; one that was not run, or not
lately, leaves it not-tested, whatever the others say.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.assurance.checks.facts import Fact, samples
from weighthouse.assurance.model import Finding
from weighthouse.core.clock import Millis

KIND = "assurance.AttackRun"


def compute(facts: Sequence[Fact], catalogue: Sequence[str], fresh_since: Millis) -> Finding:
    """Compute the check over the attack runs in the period and the catalogue as it stands."""
    newest: dict[str, Fact] = {}
    for one in sorted(facts, key=lambda fact: fact.index):
        if one.kind == KIND and str(one.data.get("scenario")) in catalogue:
            newest[str(one.data["scenario"])] = one
    counted = [newest[one] for one in catalogue if one in newest]
    run = {name: one for name, one in newest.items() if one.data.get("status") != "NOT RUN"}
    missed = {name: one for name, one in run.items() if one.data.get("status") != one.data.get("expected")}
    stale = [name for name, one in run.items() if name not in missed and one.at < fresh_since]
    failing = tuple(sorted(one.index for one in missed.values()))
    absent = [one if one not in stale else f"{one} (lately)" for one in catalogue if one not in run or one in stale]
    held = len(run) - len(missed) - len(stale)
    score = f"{held} of {len(catalogue)} attacks held ({100 * held // len(catalogue) if catalogue else 0} %)."
    digests = samples(counted, failing)
    if missed:
        detail = f"{score} Missed: {', '.join(sorted(missed))}."
        return Finding(result="not-satisfied", detail=detail, population=len(run), failing=failing, samples=digests)
    if absent or not catalogue:
        detail = f"{score} Not run: {', '.join(absent) or 'there is no catalogue'}."
        return Finding(result="not-tested", detail=detail, population=len(run), samples=digests)
    return Finding(result="satisfied", detail=score, population=len(run), samples=digests)
