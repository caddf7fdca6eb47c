"""What was asked for in a session that was somebody else's does not outlive it (thief finding 4)."""

from __future__ import annotations

import pytest

from tests.access.test_http import ASK, approver, lab, twice, vote
from tests.identity.support import Lab
from weighthouse.access.jobs import followers
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse_sdk.client import Client

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
    elif how == "a freeze":
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
