"""A stop is for all that there was: sessions that had ended already, and sign-ins that were only begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.identity.support import Lab
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse_sdk.client import Client, ProblemError
from weighthouse_sdk.client.headless import REDIRECT, walker

STOPS = ("not me", "freeze", "detection")


@pytest.fixture
def one_each(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(database, clock, tmp_path, **{"identity.sessions_per_person": 1})


def stop(lab: Lab, how: str, owner: Client) -> None:
    if how == "not me":
        owner.post("sessions/not-me")
        return
    if how == "detection":
        with begin(lab.system) as unit:
            api.end_sessions_of(unit, "ben", "detect:spray-then-success", SYSTEM)
        return
    with begin(lab.system) as unit:
        api.freeze(unit, "ben", "He was phished.", lab.person("chi"))


def thaw(lab: Lab) -> None:
    signed = lab.opened("chi", "person.thaw", "ben")
    with begin(lab.system) as unit:
        api.thaw(unit, "ben", "He has a new password.", lab.person("chi"), signed=signed)


def stopped(lab: Lab, how: str, owner: Client) -> None:
    stop(lab, how, owner)
    lab.clock.advance(1)
    if how == "freeze":
        thaw(lab)
        lab.clock.advance(1)


def demands(lab: Lab) -> int:
    return len(lab.log("StepUpDemanded"))


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize("before", ["signed out", "crowded out"])
def test_whose_session_was_over_before_the_stop_is_no_known_device(one_each: Lab, before: str, how: str) -> None:
    lab, thief = one_each, one_each.sign_in("ben")
    if before == "signed out":
        thief.sign_out()
    owner = lab.sign_in("ben")
    known = demands(lab)
    lab.sign_in("ben", owner)
    assert demands(lab) == known  # a device that is known, and was not stopped, is asked for nothing more
    stopped(lab, how, owner)
    lab.sign_in("ben", thief)
    assert demands(lab) == known + 1 and lab.told("StepUpDemanded", "principal")[-1] == "ben"


@pytest.mark.parametrize("how", STOPS)
def test_a_browser_that_had_signed_out_gets_another_mark(lab: Lab, how: str) -> None:
    browser = lab.browser()
    browser.sign_in("ben")
    mark = browser.cookies["__Host-browser"]
    browser.sign_in("ben")
    assert browser.cookies["__Host-browser"] == mark
    with begin(lab.system) as unit:
        for one in api.sessions_of(unit, "ben"):
            api.end_session(unit, one.id, "signed out", by="ben")
    stopped(lab, how, lab.sign_in("ben"))
    browser.sign_in("ben")
    assert browser.cookies["__Host-browser"] != mark


def held_back(lab: Lab) -> tuple[Client, str, dict[str, str]]:
    """A thief has given a phished factor at the provider, and keeps the answer."""
    thief, secret = lab.client(), lab.secret("ben")
    lab.clock.advance(30_000)
    walk = walker(thief._http, "ben", secret.password, secret.totp, lambda: lab.code("ben"))
    begun = thief.post("login", {"redirect_uri": REDIRECT, "device_jwk": thief.key.jwk})
    params = walk(str(begun["url"]))
    lab.clock.advance(30_000)
    asked = thief.post("token", {"transaction": begun["transaction"], "params": params})
    return thief, str(asked["transaction"]), walk(str(asked["url"]))


def refused(lab: Lab, thief: Client, transaction: str, params: dict[str, str]) -> str:
    sessions = lab.rows()["session"]
    lab.clock.advance(30_000)
    with pytest.raises(ProblemError) as error:
        thief.post("token", {"transaction": transaction, "params": params})
    assert lab.rows()["session"] == sessions
    return error.value.code


@pytest.mark.parametrize("how", STOPS)
def test_a_sign_in_that_was_held_back_does_not_outlive_a_stop(lab: Lab, how: str) -> None:
    owner = lab.sign_in("ben")
    thief, transaction, params = held_back(lab)
    stopped(lab, how, owner)
    assert refused(lab, thief, transaction, params) == "identity.start_stopped"
    assert lab.told("SignInFailed", "reason") == ["identity.start_stopped"]
    lab.sign_in("ben", owner)
    assert owner.get("me")["principal"] == "ben"


def test_a_sign_in_that_was_begun_while_its_person_was_frozen_does_not_wait_for_the_thaw(lab: Lab) -> None:
    owner = lab.sign_in("ben")
    stop(lab, "freeze", owner)
    lab.clock.advance(1)
    thief, secret = lab.client(), lab.secret("ben")
    begun = thief.post("login", {"redirect_uri": REDIRECT, "device_jwk": thief.key.jwk})
    params = walker(thief._http, "ben", secret.password, secret.totp)(str(begun["url"]))
    thaw(lab)
    assert refused(lab, thief, str(begun["transaction"]), params) == "identity.start_stopped"


def test_a_sign_in_of_a_key_whose_session_was_ended_from_elsewhere_is_over_too(lab: Lab) -> None:
    owner, thief, secret = lab.sign_in("ben"), lab.sign_in("ben"), lab.secret("ben")
    session = thief.get("me")["session"]
    thief.token = ""
    begun = thief.post("login", {"redirect_uri": REDIRECT, "device_jwk": thief.key.jwk})
    params = walker(thief._http, "ben", secret.password, secret.totp)(str(begun["url"]))
    owner.post(f"sessions/{session}/end", {"reason": "not mine"})
    assert refused(lab, thief, str(begun["transaction"]), params) == "identity.start_stopped"


def test_a_session_that_signed_itself_out_is_ended_by_its_owner_all_the_same_and_once(lab: Lab) -> None:
    owner, thief = lab.sign_in("ben"), lab.sign_in("ben")
    session = str(thief.get("me")["session"])
    thief.sign_out()
    for _ in range(2):
        owner.post(f"sessions/{session}/end", {"reason": "not mine"})
    with begin(lab.system) as unit:
        assert api.ended_by_another(unit, session, "ben")
    assert lab.told("SessionEnded", "session") == [session, session]
    known = demands(lab)
    lab.sign_in("ben", thief)
    assert demands(lab) == known + 1
    other = lab.sign_in("ada")
    with pytest.raises(ProblemError) as error:
        other.post(f"sessions/{session}/end", {"reason": "not mine"})
    assert error.value.code == "identity.session_unknown"
