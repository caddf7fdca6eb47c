"""Running the attack catalogue. Guards the score: outcomes are judged from the code that came back and the log.

Each result goes into the log, whose checkpoints are signed, so that a bad night cannot be forgotten. A scenario that
could not be prepared, or that broke by itself, is NOT RUN and says why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import msgspec

from weighthouse.access import api as access
from weighthouse.assurance.api.versions import version_of
from weighthouse.assurance.catalogue import SCENARIOS
from weighthouse.assurance.events import AttackRun
from weighthouse.assurance.model import (
    ATTACK_FRESH,
    CALLS_PER_PAGE,
    Line,
    Observed,
    Outcome,
    Proof,
    Ran,
    Verdict,
    Version,
)
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.rules import judge, proof
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.errors import NotFound, Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read

logger = logging.getLogger("weighthouse.assurance")
RUNS_PER_LOOK = 4
_RUNS = audit.Lines(AttackRun.KIND)


def catalogue() -> tuple[Scenario, ...]:
    """Return every scenario, in the order in which they are run."""
    return SCENARIOS


def run(system: System, ids: Sequence[str], ground: Ground, *, caller: Caller = SYSTEM) -> list[Outcome]:
    """Run scenarios (all, when `ids` is empty) and put each result into the log.

    Raises Denied unless the caller may run attacks, or `assurance.no_such_scenario`.
    """
    if caller.kind != "system":
        with begin(system, caller) as unit:
            access.require(unit, caller, "redteam.run", "lab")
    known = {one.id: one for one in SCENARIOS}
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise NotFound(
            "assurance.no_such_scenario",
            f"The catalogue has no scenario {unknown[0]}.",
            f"Choose from {', '.join(known)}.",
        )
    return [play(system, known[one], ground, caller=caller) for one in ids or tuple(known)]


def ground(unit: Unit, caller: Caller) -> Ground:
    """Return what this server offers attacks to run on. Raises Denied, or `assurance.no_ground` if it offers none."""
    access.require(unit, caller, "redteam.run", "lab")
    try:
        return unit.part(Ground)
    except Unavailable:
        raise Unavailable(
            "assurance.no_ground",
            "This server offers nothing to run attacks on: people sign in to it with second factors of their own, "
            "which no attack may borrow.",
            "Run the catalogue on a development server with the same build and lab, or play `weighthouse demo`.",
        ) from None


def play(system: System, scenario: Scenario, ground: Ground, *, caller: Caller = SYSTEM) -> Outcome:
    """Run one scenario and put its result into the log, with the version that it began to attack."""
    with read(system) as unit:
        version = version_of(unit)
    try:
        for person in scenario.people:
            ground.act_as(person)
        with ground.copy() if scenario.on == "copy" else nullcontext(ground) as stage:
            observed, verdict = _attack(scenario, stage)
    except WeighthouseError as error:
        observed, verdict = Observed(), _not_run(f"it could not be prepared: {error.message} ({error.code})")
    except Exception as error:
        logger.exception("scenario %s broke", scenario.id)
        observed, verdict = Observed(), _not_run(f"it broke: {type(error).__name__}: {error}")
    with begin(system, caller) as unit:
        outcome = Outcome(
            id=scenario.id,
            title=scenario.title,
            techniques=scenario.techniques,
            status=verdict.status,
            room=scenario.expected.room,
            rule=observed.code or scenario.expected.code,
            reason=verdict.reason,
            log_index=verdict.index if scenario.on == "live" else None,
            expected=scenario.expected.status,
            at=unit.now,
        )
        audit.append(unit, _event(scenario, outcome, version))
    return outcome


def _attack(scenario: Scenario, stage: Ground) -> tuple[Observed, Verdict]:
    prepared = scenario.prepare(stage)
    stage.settle()
    with read(stage.system) as unit:
        start = audit.head(unit).size
    try:
        observed, verdict = _judged(scenario, stage, prepared, start)
    except BaseException:
        _clean_up(scenario, stage, prepared)
        raise
    left = _clean_up(scenario, stage, prepared)
    return observed, msgspec.structs.replace(verdict, reason=verdict.reason + left)


def _judged(scenario: Scenario, stage: Ground, prepared: object, start: int) -> tuple[Observed, Verdict]:
    observed = scenario.attack(stage, prepared)
    lines: list[Line] = []
    if scenario.expected.traces or scenario.expected.absent:
        stage.settle()
        with read(stage.system) as unit:
            lines = _lines(unit, start)
    return observed, judge.judge(scenario.expected, observed, lines)


def _clean_up(scenario: Scenario, stage: Ground, prepared: object) -> str:
    """Take back what was prepared. A theft that changed what it must not can make this fail; the verdict stands."""
    try:
        scenario.cleanup(stage, prepared)
    except WeighthouseError as error:
        return f" Cleaning up was refused: {error.message} ({error.code})"
    return ""


def _lines(unit: Unit, start: int) -> list[Line]:
    found: list[Line] = []
    while True:
        page = audit.entries(unit, start=start + len(found), limit=CALLS_PER_PAGE)
        found += [Line(one.index, one.kind, one.data) for one in page]
        if len(page) < CALLS_PER_PAGE:
            return found


def _not_run(why: str) -> Verdict:
    return Verdict(status="NOT RUN", reason=f"Not run: {why}", index=None)


def _event(scenario: Scenario, outcome: Outcome, version: Version) -> AttackRun:
    return AttackRun(
        scenario=outcome.id,
        title=outcome.title,
        techniques=outcome.techniques,
        status=outcome.status,
        expected=outcome.expected,
        room=outcome.room,
        rule=outcome.rule,
        reason=outcome.reason,
        evidence=outcome.log_index,
        on=scenario.on,
        program=version.program,
        catalogue=version.catalogue,
        policy=version.policy,
    )


def outcomes(unit: Unit, caller: Caller) -> list[Outcome]:
    """Return the newest outcome of each scenario of the catalogue that was ever run. Raises Denied."""
    if not access.explain(unit, caller, "redteam.run", "lab").allowed:
        access.require(unit, caller, "evidence.read", "lab")
    return list(_newest(unit).values())


def proofs(unit: Unit, caller: Caller) -> dict[str, Proof]:
    """Return what each scenario of the catalogue proves of this very system now. Raises Denied."""
    if not access.explain(unit, caller, "redteam.run", "lab").allowed:
        access.require(unit, caller, "evidence.read", "lab")
    return _proofs(unit)


def unproven(unit: Unit) -> dict[str, Proof]:
    """Return the scenarios that were missed, and those that nobody tried on this very system lately."""
    return {name: one for name, one in _proofs(unit).items() if one.result != "held"}


def _proofs(unit: Unit) -> dict[str, Proof]:
    now, fresh_since = version_of(unit), unit.now - ATTACK_FRESH
    return {one.id: proof.proof(_runs(unit, one.id), now, fresh_since) for one in SCENARIOS}


def _runs(unit: Unit, scenario: str) -> Iterator[Ran]:
    """Yield the runs of a scenario, newest first: however many did not take place, one that was missed is found."""
    end: int | None = None
    while found := _RUNS.of(unit, scenario, end=end, limit=RUNS_PER_LOOK, newest_first=True):
        for one in found:
            status, expected, on = one.data["status"], one.data["expected"], proof.version_in(one.data)
            yield Ran(status=status, expected=expected, at=one.at, index=one.index, version=on)
        end = found[-1].index


def _newest(unit: Unit) -> dict[str, Outcome]:
    found = {}
    for scenario in SCENARIOS:
        one = _RUNS.newest(unit, scenario.id)
        if one is not None:
            data = audit.reveal(unit, one)
            found[scenario.id] = Outcome(
                id=data["scenario"],
                title=data["title"],
                techniques=tuple(data["techniques"]),
                status=data["status"],
                room=data["room"],
                rule=data["rule"],
                reason=data["reason"] if isinstance(data["reason"], str) else "",  # erased with whoever ran it
                log_index=data["evidence"],
                expected=data["expected"],
                at=one.at,
            )
    return found
