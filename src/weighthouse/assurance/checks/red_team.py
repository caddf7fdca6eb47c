"""E-19: the red-team score. Guards the claim "attacks are stopped" from the attacks nobody ran this time.

An attack counts as held only by a fresh run on this very program, catalogue and policy. One that was missed fails the
check, however old and whatever could not be run since; one that was not run leaves it not-tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weighthouse.assurance.checks.facts import Fact, samples
from weighthouse.assurance.model import NOT_RUN, Finding, Ran, Version
from weighthouse.assurance.rules.proof import proof, version_in
from weighthouse.core.clock import Millis

KIND = "assurance.AttackRun"
NAMED = 5  # attacks by name for each reason; `weighthouse redteam results` names them all


def compute(facts: Sequence[Fact], catalogue: Sequence[str], version: Version, fresh_since: Millis) -> Finding:
    """Compute the check over every attack run that the log tells of and the catalogue as it stands."""
    runs: dict[str, list[Fact]] = {name: [] for name in catalogue}
    for one in sorted(facts, key=lambda fact: -fact.index):
        if one.kind == KIND and one.data.get("scenario") in runs:
            runs[str(one.data["scenario"])].append(one)
    proofs = {name: proof(map(_ran, runs[name]), version, fresh_since) for name in catalogue}
    missed = {name: one.index for name, one in proofs.items() if one.result == "missed"}
    untested = {name: one.why for name, one in proofs.items() if one.result == "not tested"}
    held = sum(one.result == "held" for one in proofs.values())
    population = sum(any(fact.data.get("status") != NOT_RUN for fact in runs[name]) for name in catalogue)
    failing = tuple(sorted(index for index in missed.values() if index is not None))
    rests_on = {one.index for one in proofs.values()}
    digests = samples([one for name in catalogue for one in runs[name] if one.index in rests_on], failing)
    score = f"{held} of {len(catalogue)} attacks held ({100 * held // len(catalogue) if catalogue else 0} %)."
    if missed:
        detail = f"{score} Missed: {', '.join(sorted(missed))}."
        return Finding(result="not-satisfied", detail=detail, population=population, failing=failing, samples=digests)
    if untested or not catalogue:
        detail = f"{score} Not tested: {_grouped(untested) or 'there is no catalogue'}."
        return Finding(result="not-tested", detail=detail, population=population, samples=digests)
    return Finding(result="satisfied", detail=score, population=population, samples=digests)


def _grouped(untested: Mapping[str, str]) -> str:
    """Return the attacks by why they prove nothing, a few by name and the others as a number."""
    reasons = {why: [name for name, other in untested.items() if other == why] for why in untested.values()}
    return "; ".join(f"{len(names)} {why} ({_named(names)})" for why, names in reasons.items())


def _named(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join([*names[:NAMED], *([f"and {rest} more"] if rest > 0 else [])])


def _ran(fact: Fact) -> Ran:
    return Ran(
        status=str(fact.data.get("status")),
        expected=str(fact.data.get("expected")),
        at=fact.at,
        index=fact.index,
        version=version_in(fact.data),
    )
