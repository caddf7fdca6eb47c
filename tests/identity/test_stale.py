"""A secret that is over is told when it is presented, once a minute, and a stolen cookie is judged wherever it comes
(thief findings 6 and 7); a session of before an upgrade is kept up like any other."""

from __future__ import annotations

import json

import pytest

from tests.identity.support import AGENT, Browser, Lab
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.work import begin
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api.sealing import _code
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import Client, ProblemError


def code_of(client: Client) -> str:
    try:
        client.get("me")
    except ProblemError as error:
        return str(error.code)
    return ""


def test_an_ended_session_that_is_presented_leaves_one_line_a_minute(lab: Lab) -> None:
    client = lab.sign_in("ada")
    session = str(client.get("me")["session"])
    lab.sign_in("ada").post(f"sessions/{session}/end", {"reason": "not mine"})
    for lines in (1, 2):
        for _ in range(3):
            assert code_of(client) == "identity.session_ended"
        told = lab.log("CredentialRefused")
        assert [entry.data["subject_id"] for entry in told] == [session] * lines
        lab.clock.advance(MINUTE)
    assert lab.told("CredentialRefused", "code") == ["identity.session_ended"] * 2


@pytest.mark.parametrize("restarted", [False, True])
def test_a_token_that_a_step_up_replaced_leaves_a_line_when_it_is_presented(lab: Lab, restarted: bool) -> None:
    client = lab.sign_in("ada")
    copy = lab.client(key=client.key)
    copy.token = client.token
    lab.sign_in("ada", client, step_up=True)
    assert code_of(copy) == "identity.session_unknown" and lab.log("CredentialRefused") == []  # a race, perhaps
    lab.clock.advance(MINUTE)
    if restarted:
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    for _ in range(3):
        assert code_of(copy) == "identity.session_unknown"
    assert lab.told("CredentialRefused", "code") == ["identity.secret_replaced"]
    assert lab.log("CredentialRefused")[0].data["principal"] == "ada"
    assert code_of(client) == ""


@pytest.mark.parametrize("restarted", [False, True])
def test_a_token_that_a_step_up_replaced_opens_nothing_with_its_old_row_put_back(lab: Lab, restarted: bool) -> None:
    """Attack: whoever writes the database puts the session's row of before the step-up back, seal and all."""
    client = lab.sign_in("ada")
    copy = lab.client(key=client.key)
    copy.token = client.token
    session = str(client.get("me")["session"])
    (row,) = lab.sql("SELECT secret, body, seal FROM identity_session WHERE id = :i", i=session)
    lab.sign_in("ada", client, step_up=True)
    if restarted:
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    lab.sql(
        "UPDATE identity_session SET secret = :s, body = :b, seal = :c WHERE id = :i",
        s=row[0], b=row[1], c=row[2], i=session,
    )  # fmt: skip
    assert code_of(copy) == "identity.session_unknown"
    lab.clock.advance(MINUTE)
    assert code_of(copy) == "identity.session_unknown"
    assert lab.told("CredentialRefused", "code") == ["identity.secret_replaced"]


def test_a_token_that_never_was_one_leaves_none(lab: Lab) -> None:
    client = lab.sign_in("ada")
    client.token = "wht_" + "x" * 43
    assert code_of(client) == "identity.session_unknown" and lab.log("CredentialRefused") == []


@pytest.mark.parametrize(
    ("agent", "marked", "changed"),
    [(AGENT, False, "browser mark"), ("curl/8", True, "browser")],
    ids=["another mark", "another browser"],
)
def test_a_stolen_cookie_that_is_brought_along_to_a_sign_in_is_told_as_that(
    lab: Lab, agent: str, marked: bool, changed: str
) -> None:
    victim = lab.browser()
    victim.sign_in("ada")
    thief = Browser(lab, "10.9.9.9", agent)
    thief.sign_in("eve")
    thief.cookies["__Host-sid"] = victim.cookies["__Host-sid"]
    if marked:
        thief.cookies["__Host-browser"] = victim.cookies["__Host-browser"]
    thief.sign_in("eve")
    assert lab.told("SessionUsedElsewhere", "changed") == [changed]
    assert lab.log("SessionUsedElsewhere")[0].data["principal"] == "ada"
    assert "signed in anew" not in lab.told("SessionEnded", "reason")
    assert victim.me().json()["code"] == "identity.session_ended"


def test_whoever_signs_in_anew_is_named_and_where_they_came_from_is_told(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    moved = Browser(lab, "203.0.113.9", AGENT)
    moved.cookies = browser.cookies
    moved.sign_in("ada")
    assert len(lab.log("SessionMoved")) == 1 and lab.told("SessionUsedElsewhere", "changed") == []
    assert [(entry.data["by"], entry.data["principal"]) for entry in lab.log("SessionEnded")] == [("ada", "ada")]


NEWER = ("foreign", "country", "countries", "places", "moved")


def test_a_session_of_before_an_upgrade_is_kept_up_and_ends_like_any_other(lab: Lab) -> None:
    """Its row has fewer fields than today's; its last use was never noted, so that it ran idle in full use."""
    client = lab.sign_in("ada")
    body = json.loads(lab.sql("SELECT body FROM identity_session")[0][0])
    old = json.dumps({name: body[name] for name in body if name not in NEWER}, separators=(",", ":"), sort_keys=True)
    with begin(lab.system) as unit:
        code = _code(unit, "session", old)
    lab.sql("UPDATE identity_session SET body = :b, seal = :s", b=old, s=code)
    for _ in range(4):
        lab.clock.advance(29 * MINUTE)
        assert code_of(client) == ""
    lab.clock.advance(31 * MINUTE)
    assert code_of(client) == "identity.session_expired"


def test_a_row_that_says_something_else_than_was_read_is_left_alone(lab: Lab) -> None:
    client = lab.sign_in("ada")
    session = str(client.get("me")["session"])
    lab.sign_in("ada").post(f"sessions/{session}/end", {"reason": "not mine"})
    ended = lab.sql("SELECT body FROM identity_session WHERE id = :i", i=session)
    lab.clock.advance(30 * SECOND)
    assert code_of(client) == "identity.session_ended"
    assert lab.sql("SELECT body FROM identity_session WHERE id = :i", i=session) == ended
