"""A committee of nine, for tests of what fewer than its quorum can do: five lift a hold, six move the charter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.governance.conftest import Committee
from tests.weights.world import LAB
from weighthouse.access import api as access
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin
from weighthouse.detect import api as detect
from weighthouse.governance import api
from weighthouse.policy import api as policy

MEMBERS = ("gil", "hana", "ivo", "m4", "m5", "m6", "m7", "m8", "m9")
SEATS_OF_THREE = """    gil: {kind: director, independent: true, chair: true}
    hana: {kind: expert, independent: true}
    ivo: {kind: director, independent: false}
"""
RULES_OF_THREE = """    release: {present: 2, approve: 2, independent: 1}
    hold: {present: 2, approve: 2, independent: 1}
"""
RULES = "    release: {present: 5, approve: 5, independent: 1}\n    hold: {present: 5, approve: 3, independent: 1}\n"
APPROVAL = "      committee: {team: committee, count: 2}\n"


def text(**seats: str) -> str:
    """The example lab with nine seats; `seats` replaces or (empty) removes the seat of a member."""
    said = {
        "gil": "{kind: director, independent: true, chair: true}",
        "hana": "{kind: expert, independent: true}",
        "ivo": "{kind: director, independent: false}",
        **dict.fromkeys(MEMBERS[3:], "{kind: expert, independent: false}"),
        **seats,
    }
    people = "".join(
        f"  {one}:\n    name: Member {one}\n    accounts: [{{issuer: dev, subject: {one}}}]\n    teams: [committee]\n"
        for one in MEMBERS[3:]
    )
    listed = "".join(f"    {one}: {seat}\n" for one, seat in said.items() if seat)
    lab = LAB.read_text("utf-8").replace("\nresources:", f"{people}\nresources:", 1)
    lab = lab.replace(SEATS_OF_THREE, listed).replace(RULES_OF_THREE, RULES)
    return lab.replace(APPROVAL, APPROVAL.replace("2", "5"))


class Nine(Committee):
    """The committee of nine, with what its members, security and the platform's administrator do."""

    def __init__(self, database: Database, clock: ManualClock, state: Path, lab: str = "") -> None:
        super().__init__(database, clock, state, lab or text())

    def move(self, lab: str, who: str = "gil") -> str:
        """Open a motion about a policy text; return its id."""
        caller, digest = self.person(who), policy.digest_of(lab)
        with begin(self.system, caller) as unit:
            view = api.open_motion(unit, caller, "charter_change", digest, "New seats.", policy_text=lab)
        self.settle()
        return view.motion.id

    def approved(self, lab: str, voters: tuple[str, ...] = MEMBERS[:5]) -> None:
        """Have the administrator ask for a text, and security and five members approve it."""
        digest = policy.digest_of(lab)
        granted = self.grant("dee", "policy-change", "lab", operation={"policy": digest}, approvers=("chi", *voters))
        assert granted is not None

    def publish(self, lab: str) -> policy.Bundle:
        """Have the administrator publish a text."""
        dee = self.person("dee")
        self.confirm("dee", "policy.publish", "lab", policy=policy.digest_of(lab))
        self.settle()
        with begin(self.system, dee) as unit:
            done = access.publish_policy(unit, dee, lab, "lab.yaml")
        self.settle()
        return done

    def open(self, subject: str, who: str = "gil", cls: str = "lift_hold") -> api.MotionView:
        view = super().open(subject, who, cls)
        self.settle()
        return view

    def cast(self, who: str, motion: str, choice: str = "for", *, signed: str = "", **changed: Any) -> api.Ballot:
        made = super().cast(who, motion, choice, signed=signed, **changed)
        self.settle()
        return made

    def settle(self) -> None:
        """Let the sequencer take what waits, on PostgreSQL."""
        while audit.sequence(self.system):
            pass

    def answer(self, motion: str, choice: str, *who: str) -> None:
        for one in who:
            self.cast(one, motion, choice)

    def elsewhere(self) -> None:
        """Be another server from now on, over the same database, which has heard of nothing yet."""
        self.system.bind(Refusals, FileRefusals(self.state / "elsewhere.memory"))  # type: ignore[type-abstract]

    def freeze(self, who: str, by: Caller | None = None) -> None:
        caller = by or self.person("chi")
        with begin(self.system, caller) as unit:
            detect.freeze(unit, caller, who, "Their laptop was reported stolen.")
