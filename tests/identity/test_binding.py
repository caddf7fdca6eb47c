"""What a session is bound to, from both sides: the innocent whose address or browser changes a little keep it, thieves
do not; and changes of one session or person at once lose nothing."""

from __future__ import annotations

import ipaddress
import threading
from pathlib import Path

import msgspec
import pytest

from tests.identity.support import AGENT, ORIGIN, Browser, Lab
from weighthouse.app.initialise import initialise, load_settings
from weighthouse.core.caller import Assurance
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Settings
from weighthouse.core.work import Unit, begin, read
from weighthouse.identity import api
from weighthouse.identity.api.authentication import _touch
from weighthouse.identity.api.results import mark_of_account
from weighthouse.identity.api.sessions import open_session, rewrite
from weighthouse.identity.model import Session

HOME = "2001:db8:7:1::5"
UPDATED = AGENT.replace("140.0", "141.0")


def elsewhere(lab: Lab, victim: Browser, *, peer: str, agent: str) -> Browser:
    other = lab.browser(peer=peer, agent=agent)
    other.cookies = dict(victim.cookies)
    return other


@pytest.mark.parametrize(
    ("peer", "agent"),
    [
        pytest.param("2001:db8:7:1:a:b:c:d", AGENT, id="the next temporary IPv6 address"),
        pytest.param(HOME, UPDATED, id="the browser was updated"),
    ],
)
def test_identity_case_26_an_innocent_change_keeps_the_session(lab: Lab, peer: str, agent: str) -> None:
    victim = lab.browser(peer=HOME)
    victim.sign_in("ada")
    moved = elsewhere(lab, victim, peer=peer, agent=agent)
    assert moved.me().status_code == 200
    target = moved.to_callback(moved.get("/step-up").headers["location"], "ada", code=next_code(lab))
    assert moved.get(target).status_code == 303
    assert lab.log("SessionUsedElsewhere") == []


def next_code(lab: Lab) -> str:
    lab.clock.advance(MINUTE)
    return lab.code("ada")


@pytest.mark.parametrize(
    ("peer", "agent"),
    [
        pytest.param(HOME, AGENT.replace("Linux", "Windows"), id="another system"),
        pytest.param(HOME, AGENT.replace("Firefox", "Chrome"), id="another browser"),
        pytest.param(HOME, "", id="no browser at all"),
    ],
)
def test_identity_case_26_a_thief_next_door_ends_it(lab: Lab, peer: str, agent: str) -> None:
    victim = lab.browser(peer=HOME)
    victim.sign_in("ada")
    assert elsewhere(lab, victim, peer=peer, agent=agent).me().json()["code"] == "identity.session_used_elsewhere"
    assert victim.me().json()["code"] == "identity.session_ended"
    assert len(lab.log("SessionUsedElsewhere")) == 1


def of_ada(unit: Unit) -> Session:
    (session,) = api.sessions_of(unit, "ada")
    return session


def test_noting_the_last_use_does_not_undo_a_step_up_of_the_same_moment(lab: Lab) -> None:
    lab.browser().sign_in("ada")
    lab.clock.advance(2 * MINUTE)
    with read(lab.system) as unit:
        before = of_ada(unit)
    raised = msgspec.structs.replace(before, secret="0" * 64, assurance=Assurance(2, lab.clock.now(), "test"))
    with begin(lab.system) as unit:
        rewrite(unit, raised)
    with begin(lab.system) as unit:
        _touch(unit, before)  # this request had read the row before the step-up
    with read(lab.system) as unit:
        assert of_ada(unit) == raised


def make(unit: Unit) -> None:
    open_session(
        unit, person="ada", binding="browser", key="", address="127.0.0.1", network="local", user_agent="x",
        device_mark="", assurance=Assurance(1, unit.now, "test"), account="", reasons=(),
    )  # fmt: skip


def test_identity_case_50_two_sign_ins_at_once_do_not_pass_the_limit(any_lab: Lab) -> None:
    any_lab.system.settings = Settings(
        any_lab.system.settings._declared.values(),
        flags={"state": any_lab.folder, "identity.sessions_per_person": 1},
    )
    began, second = threading.Event(), []

    def another() -> None:
        began.set()
        with begin(any_lab.system) as unit:
            make(unit)

    with begin(any_lab.system) as unit:
        make(unit)
        second.append(threading.Thread(target=another))
        second[0].start()
        began.wait()
        second[0].join(timeout=0.5)  # on PostgreSQL it has come as far as it gets by now
    second[0].join()
    with read(any_lab.system) as unit:
        assert len(api.sessions_of(unit, "ada")) == 1


@pytest.mark.parametrize("named", ["0.0.0.0/0", "::/0", "10.0.0.5/8", "proxy.lab", "10.0.0.0/8 10.1.0.0/16"])
def test_identity_case_39_proxies_that_make_no_sense_are_refused(named: str) -> None:
    with pytest.raises(Invalid) as refusal:
        api.networks(f"192.0.2.0/24, {named}")
    assert refusal.value.code == "identity.bad_proxies"


@pytest.mark.parametrize(
    ("forwarded", "counts_as"),
    [
        ("203.0.113.9:51234", "203.0.113.9"),
        ("[2001:db8::9]:443", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("2001:db8::9", "2001:db8::9"),
        ("203.0.113.9, 10.0.0.7:80", "203.0.113.9"),
        ("203.0.113.9:1:2", "10.0.0.1"),
        ("[203.0.113.9", "203.0.113.9"),
        ("localhost:80", "10.0.0.1"),
    ],
)
def test_identity_case_39_a_proxy_may_write_the_port_behind_the_address(forwarded: str, counts_as: str) -> None:
    proxies = [ipaddress.ip_network("10.0.0.0/8")]
    assert api.client_address("10.0.0.1", [("x-forwarded-for", forwarded)], proxies) == counts_as


def test_identity_case_49_a_locked_account_opens_after_its_time_however_often_somebody_knocks(lab: Lab) -> None:
    browser = lab.browser()
    for _ in range(5):
        knock(browser, "wrong")
    for _ in range(3):
        lab.clock.advance(4 * MINUTE)
        knock(browser, "wrong")  # while it is locked
    lab.clock.advance(4 * MINUTE)
    start = browser.get("/login").headers["location"]
    assert browser.to_callback(start, "ada").startswith(ORIGIN + "/callback?code=")


def knock(browser: Browser, password: str) -> None:
    with pytest.raises(AssertionError, match="not right"):
        browser.to_callback(browser.get("/login").headers["location"], "ada", password=password)


def test_one_persons_spellings_are_one_account_when_failures_are_counted(lab: Lab) -> None:
    with read(lab.system) as unit:
        spellings = ("ada", "Ada", "ADA ", "ａｄａ", "\u00a0ada")
        assert len({mark_of_account(unit, "dev", one) for one in spellings}) == 1
        others = ("ada", "adam", "аda", "a da")  # the third begins with a Cyrillic letter: no spelling of ada
        assert len({mark_of_account(unit, "dev", one) for one in others}) == len(others)
        assert mark_of_account(unit, "dev", "ada") != mark_of_account(unit, "other", "ada")


def test_identity_case_39_a_server_with_nonsense_for_proxies_does_not_start(tmp_path: Path) -> None:
    flags = {"mode": "development", "keys.scrypt_cost": 1024, "identity.trusted_proxies": "everybody"}
    settings, home = load_settings(flags, state=tmp_path / "state")
    with pytest.raises(Invalid) as refusal:
        initialise(settings, home, "a passphrase for tests only")
    assert refusal.value.code == "identity.bad_proxies"


def test_a_session_in_use_lives_on_even_with_the_shortest_idle_time(lab: Lab) -> None:
    declared = lab.system.settings._declared.values()
    lab.system.settings = Settings(declared, flags={"state": lab.folder, "identity.idle_s": 60})
    browser = lab.browser()
    browser.sign_in("ada")
    for _ in range(6):
        lab.clock.advance(50 * SECOND)
        assert browser.me().status_code == 200
    lab.clock.advance(60 * SECOND)
    assert browser.me().json()["code"] == "identity.session_expired"


def test_a_session_cannot_be_hidden_behind_two_hundred_newer_ones(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    with begin(lab.system) as unit:
        (first,) = api.sessions_of(unit, "ada")
        for _ in range(201):
            make(unit)
            api.end_session(unit, api.sessions_of(unit, "ada")[0].id, "to bury the first", "ada")
    with read(lab.system) as unit:
        assert [one.id for one in api.sessions_of(unit, "ada")] == [first.id]
    with begin(lab.system) as unit:
        assert api.end_sessions_of(unit, "ada", "a reason", "chi") == 1
    assert browser.me().json()["code"] == "identity.session_ended"
    assert lab.log("SessionEnded")[-1].data["session"] == first.id


def test_identity_case_26_a_cookie_without_its_browsers_own_mark_ends_the_session(lab: Lab) -> None:
    victim = lab.browser()
    victim.sign_in("ada")
    thief = elsewhere(lab, victim, peer="127.0.0.1", agent=AGENT)
    thief.cookies.pop(api.DEVICE_COOKIE)
    assert thief.me().json()["code"] == "identity.session_used_elsewhere"
    assert lab.told("SessionUsedElsewhere", "changed") == ["browser mark"]
    assert victim.me().status_code == 401
