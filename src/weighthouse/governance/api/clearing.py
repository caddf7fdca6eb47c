"""Clearing a release. Guards it from being green by absence: from attacks that nobody tried on this very system.

A missed attack loses the motion. Attacks that were never run, not lately, or on another program, catalogue or policy
say nothing, so nothing is decided by them: the motion waits for them, whatever the votes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weighthouse.assurance import api as assurance
from weighthouse.core.errors import Conflict
from weighthouse.core.work import Unit
from weighthouse.governance.api.charter import check_model
from weighthouse.governance.model import Ballot, Motion
from weighthouse.policy import api as policy

SHOWN = 5


class Unproven(msgspec.Struct, frozen=True):
    """The attacks that bar a motion: those missed, and those not tested, with why."""

    missed: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.missed) + len(self.untested)

    def words(self) -> str:
        """What bars it, in one sentence; empty when nothing does."""
        told = [
            f"{len(names)} attacks {what}: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
            for what, names in (("missed", self.missed), ("not tested", self.untested))
            if names
        ]
        return f"Of the catalogue, {'; '.join(told)}." if told else ""


def unproven(unit: Unit, motion: Motion) -> Unproven:
    """Return what bars clearing a release; nothing bars a motion of another class."""
    if motion.cls != "release_clear":
        return Unproven()
    found = assurance.unproven(unit)
    return Unproven(
        missed=tuple(name for name, one in found.items() if one.result == "missed"),
        untested=tuple(f"{name} ({one.why})" for name, one in found.items() if one.result != "missed"),
    )


def waits(seats: policy.Seating, motion: Motion, ballots: Sequence[Ballot], bars: Unproven) -> bool:
    """Whether the votes would carry a motion, and only attacks that nobody tried keep it from it."""
    return bool(bars.untested and not bars.missed) and policy.tally(seats, motion.cls, ballots).carried


def check(unit: Unit, seats: policy.Seating, motion: Motion, ballots: Sequence[Ballot], bars: Unproven) -> None:
    """Raise `governance.release_not_tested` while what would clear a release was not tested, and
    `governance.no_such_model` where it would clear what is no model of the lab any more."""
    if motion.cls != "release_clear" or not policy.tally(seats, motion.cls, ballots).carried:
        return
    check_model(unit, motion.subject)
    if waits(seats, motion, ballots, bars):
        raise Conflict(
            "governance.release_not_tested",
            f"The votes would clear {motion.subject}, and the evidence does not. {bars.words()}",
            "Have the red team play `weighthouse redteam run` on this system, then close again; nothing was changed.",
        )
