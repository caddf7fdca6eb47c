"""A session that is ended from elsewhere was perhaps a thief's: its key and its browser are known no more (finding 4)."""

from __future__ import annotations

import pytest

from tests.identity.support import Browser, Lab
from weighthouse.core.clock import HOUR
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import Client, ProblemError


def code_of(client: Client) -> str:
    try:
        client.get("me")
    except ProblemError as error:
        return str(error.code)
    return ""


def asked_for_more(lab: Lab, thief: Browser) -> bool:
    """Whether somebody with this browser's cookies and the password is asked for a second factor."""
    before = len(lab.log("StepUpDemanded"))
    lab.clock.advance(HOUR)
    begun = thief.get("/login").headers["location"]
    thief.get(thief.to_callback(begun, "ada"))
    return len(lab.log("StepUpDemanded")) > before


def end_by(lab: Lab, how: str, thief: Browser, owner: Client) -> None:
    session = thief.me().json()["session"]
    if how == "its owner":
        owner.post(f"sessions/{session}/end", {"reason": "not mine"})
    elif how == "not me":
        owner.post("sessions/not-me")
    else:
        with begin(lab.system) as unit:
            api.freeze(unit, "ada", "odd reads", lab.person("chi"))
        signed = lab.opened("chi", "person.thaw", "ada")
        with begin(lab.system, lab.person("chi")) as unit:
            api.thaw(unit, "ada", "cleared", lab.person("chi"), signed=signed)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("how", ["its owner", "not me", "a freeze and a thaw"])
def test_the_mark_of_a_browser_counts_no_more_once_its_session_was_ended(lab: Lab, how: str, restarted: bool) -> None:
    thief, owner = lab.browser(), lab.sign_in("ada")
    thief.sign_in("ada")
    before = dict(thief.cookies)
    end_by(lab, how, thief, owner)
    if restarted:
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert asked_for_more(lab, thief)
    thief.cookies = {}
    thief.cookies["__Host-browser"] = before["__Host-browser"]
    thief.sign_in("ada")
    assert thief.cookies["__Host-browser"] != before["__Host-browser"], "the owner's own browser gets another mark"


def test_signing_out_leaves_a_browser_known(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    assert browser.sign_out().status_code == 303
    assert not asked_for_more(lab, browser)


def test_other_sessions_of_the_same_key_end_with_one_that_was_ended_from_elsewhere(lab: Lab) -> None:
    thief, owner = lab.sign_in("ada"), lab.sign_in("ada")
    first = str(thief.get("me")["session"])
    copy = lab.client(key=thief.key)
    lab.sign_in("ada", copy)
    owner.post(f"sessions/{first}/end", {"reason": "not mine"})
    assert [code_of(one) for one in (thief, copy, owner)] == ["identity.session_ended"] * 2 + [""]
    assert len(lab.log("SessionEnded")) == 2


def test_ending_an_older_session_of_ones_own_key_leaves_the_one_in_hand(lab: Lab) -> None:
    old = lab.sign_in("ada")
    new = lab.client(key=old.key)
    lab.sign_in("ada", new)
    new.post(f"sessions/{old.get('me')['session']}/end", {"reason": "old"})
    assert [code_of(one) for one in (old, new)] == ["identity.session_ended", ""]


def test_a_freeze_ends_keys_that_did_not_count_yet_so_that_none_grows_up_meanwhile(lab: Lab) -> None:
    lab.system.settings = lab.system.settings.changed(**{"identity.new_keys": "confirm"})
    thief = lab.sign_in("ada")
    young = str(thief.enrol("mine")["id"])
    with begin(lab.system) as unit:
        api.freeze(unit, "ada", "odd reads", lab.person("chi"))
    with read(lab.system) as unit:
        assert api.devices_of(unit, "ada") == []
    assert [entry.data["device"] for entry in lab.log("DeviceEnded")] == [young]
