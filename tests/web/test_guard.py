"""Another site, an old page or a foreign host name cannot make a signed-in browser change anything."""

from __future__ import annotations

import pytest

from tests.web.world import World, field


def test_a_form_of_our_own_page_works_without_javascript(world: World) -> None:
    ada = world.browser("ada")
    answer = world.send(ada, "/sessions", "/probe", {})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"by": "ada"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8040"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
def test_a_post_that_another_site_caused_is_refused(world: World, headers: dict[str, str]) -> None:
    ada = world.browser("ada")
    token = field(ada.get("/sessions").text, "csrf")
    answer = ada.post("/probe", data={"csrf": token}, headers=headers)
    assert answer.status_code == 403
    assert "web.cross_site" in answer.text


def test_a_post_without_the_forms_token_is_refused(world: World) -> None:
    ada = world.browser("ada")
    for data in ({}, {"csrf": "guessed"}):
        answer = ada.post("/probe", data=data, headers={"Origin": world.origin})
        assert answer.status_code == 403
        assert "web.form_token" in answer.text


def test_the_token_of_another_session_is_refused(world: World) -> None:
    eve, ada = world.browser("eve"), world.browser("ada")
    stolen = field(eve.get("/sessions").text, "csrf")
    answer = ada.post("/probe", data={"csrf": stolen}, headers={"Origin": world.origin})
    assert answer.status_code == 403
    assert "web.form_token" in answer.text


def test_a_token_named_twice_is_refused(world: World) -> None:
    ada = world.browser("ada")
    token = field(ada.get("/sessions").text, "csrf")
    answer = ada.post("/probe", data={"csrf": [token, "x"]}, headers={"Origin": world.origin})
    assert (answer.status_code, "web.bad_form" in answer.text) == (400, True)


def test_json_with_a_cookie_needs_the_token_in_a_header(world: World) -> None:
    ada = world.browser("ada")
    body = {"name": "x", "count": 1}
    bare = ada.post("/api/v1/probe", json=body, headers={"Origin": world.origin})
    assert (bare.status_code, bare.json()["code"]) == (403, "web.form_token")
    token = field(ada.get("/sessions").text, "csrf")
    good = ada.post("/api/v1/probe", json=body, headers={"Origin": world.origin, "X-CSRF-Token": token})
    assert good.json() == {"by": "ada"}


def test_a_rebound_host_name_is_refused(world: World) -> None:
    visitor = world.visitor(Host="rebound.evil.example")
    answer = visitor.get("/sign-in")
    assert answer.status_code == 421
    assert "web.wrong_host" in answer.text
    assert "rebound" not in answer.text


def test_a_forwarded_address_from_nobody_we_trust_is_not_believed(world: World) -> None:
    ada = world.browser("ada")
    assert ada.get("/probe", headers={"X-Forwarded-For": "203.0.113.9"}).text == "ada 127.0.0.1"


def test_two_session_cookies_are_refused_rather_than_chosen_from(world: World) -> None:
    ada = world.browser("ada")
    sid = next(cookie.value for cookie in ada.cookies.jar if cookie.name == "__Host-sid")
    visitor = world.visitor(Cookie=f"__Host-sid={sid}; __Host-sid=tossed")
    answer = visitor.get("/probe")
    assert answer.status_code == 401
    assert "identity.credential_ambiguous" in answer.text
