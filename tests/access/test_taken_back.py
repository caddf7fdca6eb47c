"""What was taken back counts for nothing at its next use, whatever was hidden while it was taken back (cases 53, C-12).

Attack: hide the row of a vote, or of a grant, for the seconds in which its voter is frozen, says "this was not me" or
loses the session, and put it back once the keys count again. Or keep the follower from its turn.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.test_foreign import follow, reopen, standing, take_back, told, voted
from tests.access.test_http import ASK as ASKED
from tests.access.test_http import approver, problem, twice, vote
from tests.identity.support import Lab
from weighthouse.access import api as access
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.access.routes import api as routes
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory

HOWS = ("its owner, from another one", "signed out by the thief, then not me", "a freeze")


@pytest.fixture
def lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    made = Lab(any_database, clock, tmp_path)
    made.system.bind(Refusals, FileRefusals(tmp_path / "refusals"))
    made.app.include_router(routes.router)
    return made


def settle(lab: Lab) -> None:
    while audit.sequence(lab.system):
        pass
    follow(lab)


def hide(lab: Lab, *, back: bool = False) -> None:
    was, now = ("'nobody'", "'ben'") if back else ("'ben'", "'nobody'")
    lab.sql(f"UPDATE access_vote SET voter = {now} WHERE voter = {was}")


@pytest.mark.parametrize("how", HOWS)
def test_a_vote_that_was_hidden_while_it_was_taken_back_makes_no_grant(lab: Lab, how: str) -> None:
    request, thief, owner = voted(lab, granted=False)
    hide(lab)
    take_back(lab, how, thief, owner)
    settle(lab)
    hide(lab, back=True)
    reopen(lab, how)
    assert vote(*approver(lab, "chi"), request)["state"] == "pending"
    settle(lab)
    assert (told(lab, "VoteVoided"), told(lab, "GrantStarted")) == (1, 0)
    assert standing(lab) == []


@pytest.mark.parametrize("how", HOWS)
def test_a_grant_that_was_hidden_while_its_vote_was_taken_back_gives_nothing(lab: Lab, how: str) -> None:
    _request, thief, owner = voted(lab, granted=True)
    lab.sql("CREATE TABLE aside AS SELECT * FROM access_grant")
    lab.sql("DELETE FROM access_grant")
    hide(lab)
    take_back(lab, how, thief, owner)
    settle(lab)
    lab.sql("INSERT INTO access_grant SELECT * FROM aside")
    hide(lab, back=True)
    reopen(lab, how)
    with begin(lab.system) as unit:
        found = access.explain_without_key(unit, lab.person("ada"), "run.submit", "model/tern")
    assert (found.allowed, found.reasons[0].code) == (False, "access.vote_void")


@pytest.mark.parametrize("how", HOWS)
def test_a_vote_that_was_taken_back_counts_for_nothing_before_any_follower_says_so(lab: Lab, how: str) -> None:
    request, thief, owner = voted(lab, granted=False)
    take_back(lab, how, thief, owner)
    reopen(lab, how)
    assert vote(*approver(lab, "chi"), request)["state"] == "pending"


@pytest.mark.parametrize("how", HOWS)
def test_a_server_that_has_not_heard_of_the_end_asks_the_log(lab: Lab, how: str) -> None:
    request, thief, owner = voted(lab, granted=False)
    approving, device = approver(lab, "chi")
    hide(lab)
    take_back(lab, how, thief, owner)
    settle(lab)
    hide(lab, back=True)
    reopen(lab, how)
    lab.system.bind(Memory, FileMemory(lab.folder / "elsewhere", now=lab.clock.now()))
    lab.system.bind(Refusals, FileRefusals(lab.folder / "elsewhere.refusals"))
    assert vote(approving, device, request)["state"] == "pending"


def test_a_request_that_was_hidden_during_not_me_is_not_said_to_be_approved(lab: Lab) -> None:
    owner, thief = lab.sign_in("ada"), twice(lab, "ada")
    request = str(thief.post("/requests", ASKED)["id"])
    lab.sql("UPDATE access_request SET person = 'nobody'")
    owner.post("sessions/not-me")
    settle(lab)
    lab.sql("UPDATE access_request SET person = 'ada'")
    ben, device = approver(lab, "ben")
    assert not ben.get(f"/requests/{request}/card")["can_vote"]
    for _ in range(2):
        assert problem(lambda: vote(ben, device, request)) == (409, "access.request_closed")
    settle(lab)
    assert [told(lab, kind) for kind in ("RequestLapsed", "RequestApproved", "GrantStarted")] == [1, 0, 0]


def test_a_no_of_a_session_that_was_ended_stays(lab: Lab) -> None:
    request = str(twice(lab, "ada").post("/requests", ASKED)["id"])
    owner, (thief, device) = lab.sign_in("ben"), approver(lab, "ben")
    assert vote(thief, device, request, "deny")["state"] == "denied"
    take_back(lab, "signed out by the thief, then not me", thief, owner)
    with begin(lab.system) as unit:
        assert identity.disclaimed(unit, "ben", "", unit.now)
    chi = approver(lab, "chi")
    assert problem(lambda: vote(*chi, request)) == (409, "access.request_closed")
