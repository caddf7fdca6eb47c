"""One state machine for requests and grants: random votes, crashes, clocks, freezes, people who change teams, caps
that policy moves, holds and ends against a plain model.

The model is written a second time and simply: if it and the software ever disagree on who may load the weights, or on
how many grants exist, Hypothesis shows the shortest story that tells them apart. `make soak` tells four hundred.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from tests.access.support import LAB, Lab
from weighthouse.access import api
from weighthouse.core.clock import DAY, HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

STORIES = 8 if "WEIGHTHOUSE_CASES" not in os.environ else 400
TEAMS = {"ben": "steward", "bea": "steward", "chi": "security", "cat": "security"}
ASKERS = ("ada", "eve")
MORE = """  bea:
    name: Bea
    accounts: [{issuer: dev, subject: bea}]
    teams: [weights-stewards]
  cat:
    name: Cat
    accounts: [{issuer: dev, subject: cat}]
    teams: [security]
"""


class Asked:
    """The model of a request and of the grant it may have become."""

    def __init__(self, id_: str, person: str, duration: int, created: int) -> None:
        self.id, self.person, self.duration, self.created = id_, person, duration, created
        self.state = "pending"
        self.voters: set[str] = set()
        self.start = self.end = 0
        self.over = False


class Requests(RuleBasedStateMachine):
    requests = Bundle("requests")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.database = Database(f"sqlite:///{self.folder.name}/lab.db")
        self.database.create_all()
        self.moved: set[str] = set()
        self.cap = 8
        self.lab = Lab(self.database, self.clock, Path(self.folder.name), self.text())
        for voter in TEAMS:
            self.lab.device(voter)
        self.known: list[Asked] = []
        self.frozen: set[str] = set()
        self.hold: str | None = None

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()

    def text(self) -> str:
        """The lab as policy has it now: who has left the approvers, and how long a grant may last."""
        text = LAB.read_text("utf-8").replace("people:\n", "people:\n" + MORE, 1).replace("chain: 2d", "chain: 180d")
        for person in self.moved:
            start = text.index(f"subject: {person}}}]")
            begin_, end = text.index("teams: [", start), text.index("]", text.index("teams: [", start))
            text = text[:begin_] + "teams: [red-team" + text[end:]
        return text.replace("default: 2h, longest: 8h", f"default: 2h, longest: {self.cap}h")

    def act(self, call: Any) -> str:
        try:
            call()
        except WeighthouseError as error:
            return error.code
        return ""

    def covered(self, voters: set[str]) -> bool:
        return {TEAMS[voter] for voter in voters - self.frozen - self.moved} == {"steward", "security"}

    def open_now(self, asked: Asked) -> bool:
        return asked.state == "pending" and self.clock.now() < asked.created + DAY

    @rule(target=requests, person=st.sampled_from(ASKERS), hours=st.integers(1, 8))
    def ask(self, person: str, hours: int) -> Asked:
        asked = Asked("", person, hours * HOUR, self.clock.now())

        def call() -> None:
            asked.id = self.lab.ask(person, duration=hours * HOUR).id

        code = self.act(call)
        free = {voter for voter in TEAMS if voter not in self.frozen}
        if person in self.frozen:
            assert code == "access.person_inactive"
        elif hours > self.cap:
            assert code == "access.duration_out_of_range"
        elif self.hold == "model/tern":
            assert code == "access.held"
        elif any(self.open_now(one) and one.person == person for one in self.known):
            assert code == "access.already_pending"
        elif not self.covered(free):
            assert code == "access.impossible_quorum"
        else:
            assert code == ""
            self.known.append(asked)
            return asked
        asked.state = "never"
        return asked

    @rule(
        asked=requests,
        voter=st.sampled_from(sorted(TEAMS)),
        verdict=st.sampled_from(("approve", "approve", "approve", "deny")),
    )
    def vote(self, asked: Asked, voter: str, verdict: str) -> None:
        if asked.state == "never":
            return
        code = self.act(lambda: self.lab.vote(voter, asked.id, verdict))
        if voter in self.frozen:
            assert code == "access.person_inactive"
        elif voter in self.moved:
            assert code == "access.no_such_request"
        elif asked.state != "pending":
            assert code == "access.request_closed"
        elif not self.open_now(asked):
            assert code == "access.request_lapsed"
        elif voter in asked.voters:
            assert code == "access.already_voted"
        elif verdict == "deny":
            assert code == ""
            asked.state = "denied"
        elif asked.person in self.frozen:
            assert code == "access.policy_moved"
        else:
            assert code == ""
            asked.voters.add(voter)
            if self.covered(asked.voters):
                asked.state, asked.start = "approved", self.clock.now()
                asked.end = asked.start + min(asked.duration, self.cap * HOUR)

    @rule(asked=requests, voter=st.sampled_from(sorted(TEAMS)))
    def vote_and_crash(self, asked: Asked, voter: str) -> None:
        """The power fails after all work and before the commit: nothing has happened, and nobody is stuck."""
        if asked.state == "never" or voter in self.frozen | self.moved:
            return
        card = self.lab.card(voter, asked.id)
        signature = self.lab.signed(voter, card, "approve")

        def crash() -> None:
            raise RuntimeError("power is gone")

        def call() -> None:
            with begin(self.lab.system, self.lab.caller(voter)) as unit:
                who = self.lab.caller(voter)
                api.vote(unit, who, asked.id, "approve", digest=card.digest, signature=signature)
                unit.before_commit(crash)

        try:
            refused = self.act(call)
        except RuntimeError:
            refused = ""
        assert refused or (self.open_now(asked) and voter not in asked.voters)

    @rule(person=st.sampled_from(("bea", "cat")))
    def change_team(self, person: str) -> None:
        """Policy moves somebody out of the approvers, or back in."""
        self.moved ^= {person}
        self.publish()

    @rule()
    def move_cap(self) -> None:
        """Policy shortens what runs at once; a longer cap gives no grant more than it was sealed with."""
        self.cap = 4 if self.cap == 8 else 8
        self.publish()

    def publish(self) -> None:
        with begin(self.lab.system) as unit:
            policy.store(unit, self.text(), "lab.yaml", "system")

    @rule(asked=requests)
    def withdraw(self, asked: Asked) -> None:
        if asked.state == "never" or asked.person in self.frozen:
            return

        def call() -> None:
            with begin(self.lab.system) as unit:
                api.withdraw(unit, self.lab.caller(asked.person), asked.id)

        code = self.act(call)
        assert code == ("" if asked.state == "pending" else "access.request_closed")
        if not code:
            asked.state = "withdrawn"

    @rule(asked=consumes(requests), by=st.sampled_from(("owner", "security")))
    def end(self, asked: Asked, by: str) -> None:
        who = asked.person if by == "owner" else "chi"
        if asked.state != "approved" or who in self.frozen:
            return
        grant = self.lab.sql("SELECT id FROM access_grant WHERE request = :id", id=asked.id)[0]["id"]

        def call() -> None:
            with begin(self.lab.system) as unit:
                if by == "owner":
                    api.give_back(unit, self.lab.caller(who), grant)
                else:
                    api.revoke(unit, self.lab.caller(who), grant, "suspicious reads")

        code = self.act(call)
        over = asked.over or self.clock.now() >= asked.end
        assert code == ("access.grant_ended" if over else ""), code
        asked.over = True

    @rule(minutes=st.sampled_from((1, 30, 61, 8 * 60, 25 * 60)))
    def wait(self, minutes: int) -> None:
        self.clock.advance(minutes * MINUTE)

    @rule(minutes=st.integers(1, 600))
    def step_back(self, minutes: int) -> None:
        """The clock of the machine is turned back; what has ended stays ended, and time stands still meanwhile."""
        now = self.clock.now()
        with begin(self.lab.system):
            pass
        self.clock.set(now - minutes * MINUTE)
        self.agrees(now)
        self.clock.set(now)

    @rule(person=st.sampled_from((*TEAMS, *ASKERS)))
    def freeze_or_thaw(self, person: str) -> None:
        if person in self.frozen:
            self.lab.thaw(person)
        else:
            with begin(self.lab.system) as unit:
                identity.freeze(unit, PrincipalId(person), "odd reads", self.lab.caller("chi"))
        self.frozen ^= {person}

    @rule()
    def hold_or_lift(self) -> None:
        from weighthouse.core.caller import SYSTEM

        if self.hold is None:
            with begin(self.lab.system) as unit:
                self.held = api.place_hold(unit, SYSTEM, "model/tern", "bulk reads")
            self.hold = "model/tern"
        elif "chi" not in self.frozen:
            signed = self.lab.opened("chi", "hold.lift", self.held.id)
            with begin(self.lab.system) as unit:
                api.lift_hold(unit, self.lab.caller("chi"), self.held.id, "explained", signed=signed)
            self.hold = None

    @rule()
    def tidy(self) -> None:
        with begin(self.lab.system) as unit:
            api.tidy(unit)
        for asked in self.known:
            if asked.state == "pending" and not self.open_now(asked):
                asked.state = "lapsed"

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "lab"):
            self.agrees(self.clock.now())

    def agrees(self, now: int) -> None:
        for person in ASKERS:
            may = (
                self.hold is None
                and person not in self.frozen
                and any(
                    one.person == person
                    and one.state == "approved"
                    and not one.over
                    and one.start <= now < min(one.end, one.start + self.cap * HOUR)
                    and self.covered(one.voters)
                    for one in self.known
                )
            )
            fresh = self.lab.caller(person)
            decision = self.lab.explain(fresh)
            assert decision.allowed is may, f"{person}: {decision.reasons}"
        count = self.lab.sql("SELECT count(*) AS n FROM access_grant")[0]["n"]
        assert count == sum(one.start > 0 for one in self.known)


TestRequests = Requests.TestCase
TestRequests.pytestmark = [pytest.mark.timeout(3000), *([pytest.mark.soak] if STORIES > 8 else [])]
TestRequests.settings = settings(
    max_examples=STORIES,
    derandomize="WEIGHTHOUSE_CASES" not in os.environ,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
