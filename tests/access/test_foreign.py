"""What was asked for in a session that was somebody else's does not outlive it (thief finding 4)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.access.test_http import ASK, approver, lab, twice, vote
from tests.identity.support import Lab
from weighthouse.access import api as access
from weighthouse.access.jobs import followers
from weighthouse.access.model import grant_of
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api.states import change_state
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import Client, ProblemError

__all__ = ["lab"]


def follow(lab: Lab) -> None:
    for follower in followers:
        while audit.pump(lab.system, follower):
            pass


def asked(lab: Lab, client: Client, *, granted: bool) -> str:
    request: str = client.post("/requests", ASK)["id"]
    if granted:
        for who in ("ben", "chi"):
            vote(*approver(lab, who), request)
    return request


def told(lab: Lab, kind: str) -> int:
    with begin(lab.system) as unit:
        return len(audit.entries(unit, kind=f"access.{kind}", limit=500))


def end_by(lab: Lab, how: str, thief: Client, owner: Client) -> None:
    session = str(thief.get("me")["session"])
    if how == "its owner, from another one":
        owner.post(f"sessions/{session}/end", {"reason": "not mine"})
    elif how == "this was not me":
        owner.post("sessions/not-me")
    elif how == "signed out by the thief, then not me":
        thief.sign_out()
        owner.post("sessions/not-me")
    elif how == "signed out by the thief, then ended by its owner":
        thief.sign_out()
        owner.post(f"sessions/{session}/end", {"reason": "not mine"})
    elif how == "its key":
        owner.post(f"devices/{thief.get('me')['device']}/end", {"reason": "stolen"})
    elif how.endswith("a freeze"):
        if how != "a freeze":
            thief.sign_out()
        with begin(lab.system) as unit:
            identity.freeze(unit, "ada", "odd requests", lab.person("chi"))
    else:
        with begin(lab.system) as unit:
            identity.end_session(unit, session, "detect:elsewhere", SYSTEM)


FOREIGN = (
    "its owner, from another one",
    "this was not me",
    "signed out by the thief, then not me",
    "signed out by the thief, then ended by its owner",
    "its key",
    "a freeze",
    "signed out by the thief, then a freeze",
    "a detection",
)


@pytest.mark.parametrize("granted", [True, False], ids=["granted", "asked"])
@pytest.mark.parametrize("how", FOREIGN)
def test_what_was_asked_for_in_an_ended_foreign_session_is_taken_back(lab: Lab, how: str, granted: bool) -> None:
    owner, thief = lab.sign_in("ada"), twice(lab, "ada")
    thief.enrol("mine")
    request = asked(lab, thief, granted=granted)
    end_by(lab, how, thief, owner)
    follow(lab)
    follow(lab)
    if how.endswith("a freeze"):
        with begin(lab.system) as unit:
            identity.thaw(unit, "ada", "cleared", SYSTEM)
    with begin(lab.system) as unit:
        rows = dict(unit.conn.exec_driver_sql("SELECT id, state FROM access_request").all())  # type: ignore[arg-type]
        live = unit.conn.exec_driver_sql("SELECT count(*) FROM access_grant WHERE ended IS NULL").scalar()
    assert live == 0 and rows[request] == ("approved" if granted else "invalidated")
    assert told(lab, "GrantEnded" if granted else "RequestLapsed") == 1


@pytest.mark.parametrize("how", ["signed out", "another session ended"])
def test_what_was_asked_for_elsewhere_or_before_signing_out_goes_on(lab: Lab, how: str) -> None:
    owner, other = twice(lab, "ada"), lab.sign_in("ada")
    asked(lab, owner, granted=True)
    if how == "signed out":
        owner.sign_out()
    else:
        owner.post(f"sessions/{other.get('me')['session']}/end", {"reason": "not mine"})
    follow(lab)
    assert told(lab, "GrantStarted") == 1 and told(lab, "GrantEnded") == 0


def test_what_is_asked_for_after_not_me_is_the_owners_however_late_the_log_is_read(lab: Lab) -> None:
    twice(lab, "ada").post("sessions/not-me")
    lab.clock.advance(1)
    asked(lab, twice(lab, "ada"), granted=False)
    follow(lab)
    assert told(lab, "RequestLapsed") == 0


VOIDED = (*FOREIGN[:3], *FOREIGN[4:])  # the end of a key ends what it signed already


def voted(lab: Lab, *, granted: bool) -> tuple[str, Client, Client]:
    """A request of ada's, approved by a thief in ben's session (and by chi); the thief, and ben in another one."""
    request: str = twice(lab, "ada").post("/requests", ASK)["id"]
    owner, (thief, device) = lab.sign_in("ben"), approver(lab, "ben")
    vote(thief, device, request)
    if granted:
        vote(*approver(lab, "chi"), request)
    return request, thief, owner


def take_back(lab: Lab, how: str, thief: Client, owner: Client) -> None:
    if how.endswith("a freeze"):
        if how != "a freeze":
            thief.sign_out()
        with begin(lab.system) as unit:
            identity.freeze(unit, "ben", "somebody is him", lab.person("chi"))
    else:
        end_by(lab, how, thief, owner)


def reopen(lab: Lab, how: str) -> None:
    """Undo what only pauses a right, as whoever writes the database would: the thaw, and the keys."""
    with begin(lab.system) as unit:
        if how.endswith("a freeze"):
            identity.thaw(unit, "ben", "cleared", SYSTEM)
        change_state(unit, "ben", lambda s: replace(s, devices=(*s.devices, *s.suspended), suspended=()), mend=True)


def standing(lab: Lab) -> list[tuple[str, str]]:
    with begin(lab.system) as unit:
        return [(one.state, one.ended_why) for one in access.grants_of(unit, lab.person("ada"))]


@pytest.mark.parametrize("how", VOIDED)
def test_what_was_given_by_a_vote_of_an_ended_foreign_session_ends_for_good(lab: Lab, how: str) -> None:
    _request, thief, owner = voted(lab, granted=True)
    assert standing(lab) == [("active", "")]
    take_back(lab, how, thief, owner)
    follow(lab)
    follow(lab)
    reopen(lab, how)
    assert standing(lab) == [("ended", "revoked")]
    assert (told(lab, "VoteVoided"), told(lab, "GrantEnded")) == (1, 1)


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize("how", VOIDED)
def test_a_vote_of_an_ended_foreign_session_counts_no_more_and_may_be_given_again(
    lab: Lab, how: str, stripped: bool
) -> None:
    """Also when somebody with the database has taken the session out of its row meanwhile."""
    request, thief, owner = voted(lab, granted=False)
    if stripped:
        lab.sql("UPDATE access_vote SET body = json_remove(body, '$.session', '$.seal')")
    take_back(lab, how, thief, owner)
    follow(lab)
    follow(lab)
    reopen(lab, how)
    assert vote(*approver(lab, "chi"), request)["state"] == "pending"
    assert (told(lab, "VoteVoided"), told(lab, "GrantStarted")) == (1, 0)
    lab.clock.advance(1)
    assert vote(*approver(lab, "ben"), request)["state"] == "approved"
    follow(lab)
    assert told(lab, "GrantEnded") == 0


def test_a_grant_whose_row_was_hidden_while_its_voters_session_ended_gives_nothing_when_it_is_put_back(
    lab: Lab,
) -> None:
    _request, thief, owner = voted(lab, granted=True)
    lab.sql("CREATE TABLE hidden AS SELECT * FROM access_grant")
    lab.sql("DELETE FROM access_grant")
    end_by(lab, FOREIGN[0], thief, owner)
    follow(lab)
    lab.sql("INSERT INTO access_grant SELECT * FROM hidden")
    assert standing(lab) == [("active", "access.vote_void")]


def test_a_vote_whose_session_was_edited_counts_not(lab: Lab) -> None:
    request, _thief, _owner = voted(lab, granted=False)
    lab.sql("UPDATE access_vote SET body = json_set(body, '$.session', 'ses_another')")
    assert vote(*approver(lab, "chi"), request)["state"] == "pending"


@pytest.mark.parametrize("how", ["signed out", "another session ended"])
def test_votes_of_other_sessions_and_of_one_that_signed_out_go_on(lab: Lab, how: str) -> None:
    _request, voter, other = voted(lab, granted=True)
    if how == "signed out":
        voter.sign_out()
    else:
        voter.post(f"sessions/{other.get('me')['session']}/end", {"reason": "not mine"})
    follow(lab)
    assert standing(lab) == [("active", "")] and told(lab, "VoteVoided") == 0


def test_a_token_s_string_without_its_key_voids_nothing_until_somebody_says_that_more_was_taken(lab: Lab) -> None:
    """Attack: read ben's token in a proxy's log and present it once: his votes, and the grants on them, would fall."""
    _request, voter, owner = voted(lab, granted=True)
    session, thief = str(voter.get("me")["session"]), lab.client()
    thief.token = voter.token
    with pytest.raises(ProblemError) as error:
        thief.get("me")
    assert error.value.code == "identity.session_used_elsewhere"
    with begin(lab.system) as unit:  # as a detection answers it
        identity.end_sessions_of(unit, "ben", "detect:session-used-elsewhere", SYSTEM, believed=True)
    follow(lab)
    for client in (voter, owner):
        with pytest.raises(ProblemError):
            client.get("me")
    assert standing(lab) == [("active", "")] and told(lab, "VoteVoided") == 0
    with begin(lab.system) as unit:
        identity.end_session(unit, session, "his laptop is gone too", lab.person("chi"))
    follow(lab)
    assert standing(lab) == [("ended", "revoked")] and told(lab, "VoteVoided") == 1


def test_the_owner_sees_what_a_session_asked_and_voted_however_often_it_was_refused_and_after_its_end(
    lab: Lab,
) -> None:
    owner, thief = lab.sign_in("ada"), twice(lab, "ada")
    session, request = str(thief.get("me")["session"]), asked(lab, thief, granted=False)
    for _ in range(6):
        with pytest.raises(ProblemError):
            vote(thief, "dev_00000000000000000000000000", request)
    said = "Asked for tern-train on model/tern."
    live = {one["id"]: [told["what"] for told in one["lately"]] for one in owner.get("sessions")["items"]}
    assert said in live[session] and live[session][-1] == "Signed in."
    thief.sign_out()
    assert session not in {one["id"] for one in owner.get("sessions")["items"]}
    over = owner.get("sessions/ended")["items"]
    ended = {one["id"]: [told["what"] for told in one["lately"]] for one in over}
    assert said in ended[session]


@pytest.mark.parametrize("how", ["this was not me", "its owner, from another one", "a detection"])
def test_what_was_hidden_while_its_session_ended_counts_for_nothing_when_it_comes_back(lab: Lab, how: str) -> None:
    owner, thief = lab.sign_in("ada"), twice(lab, "ada")
    thief.enrol("mine")
    request = asked(lab, thief, granted=True)
    lab.sql("UPDATE access_grant SET person = 'nobody'")
    end_by(lab, how, thief, owner)
    follow(lab)
    lab.sql("UPDATE access_grant SET person = 'ada'")
    lab.clock.advance(1)
    assert told(lab, "GrantEnded") == 0, "nobody found it to end"
    for _ in range(2):
        with begin(lab.system) as unit, pytest.raises(Denied) as error:
            access.valid_grant(unit, grant_of(request))
        assert error.value.code == "access.grant_ended"
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
