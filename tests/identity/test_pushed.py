"""What is asked is told to the provider and not to the browser, where it takes that (RFC 9126; thief finding 1)."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import httpx
import pytest

from tests.identity.support import Lab, query
from tests.identity.test_acts import THAW, act, do
from tests.identity.test_untyped_provider import GOOD
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.errors import Unavailable
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.oidc import OidcProvider
from weighthouse.identity.api import DEVICE_COOKIE, pacing
from weighthouse.identity.api.marks import given_here
from weighthouse.identity.model import IssuerProfile
from weighthouse.identity.ports import Wish
from weighthouse.identity.rules.discovery import Unfit, read_discovery, with_query
from weighthouse_sdk.client import Client, ProblemError
from weighthouse_sdk.client.headless import REDIRECT, walker
from weighthouse_sdk.errors import SdkError

WISH = Wish(redirect_uri="http://127.0.0.1:1/callback", state="s", nonce="n", challenge="c" * 43, step_up=True)


@pytest.fixture
def pushing(lab: Lab) -> Lab:
    lab.idp.pushed = True
    lab.use_provider(InProcess(lab.app), lab.wanted)
    return lab


def begun(client: Client) -> dict[str, str]:
    answer: dict[str, str] = client.post("step-up", {"redirect_uri": REDIRECT, "acts": [THAW]})
    return answer


def test_the_browser_carries_a_name_and_nothing_of_what_is_asked(pushing: Lab) -> None:
    client = pushing.sign_in("ben")
    asked = query(begun(client)["url"])
    assert asked.keys() == {"client_id", "request_uri"}
    assert asked["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")


@pytest.mark.parametrize(
    "edit",
    [
        {"max_age": "3600"},
        {"prompt": ""},
        {"acr_values": ""},
        {"claims": "{}"},
        {"redirect_uri": "http://evil.example/"},
    ],
)
def test_what_a_thief_adds_to_the_address_is_nothing(pushing: Lab, edit: dict[str, str]) -> None:
    """They hold the session and the password; the second factor is asked for all the same."""
    thief = pushing.sign_in("ben")
    step = begun(thief)
    edited = {**step, "url": with_query(step["url"], edit)}
    walk = walker(thief._http, "ben", pushing.secret("ben").password, "", code="")
    with pytest.raises(SdkError, match="code"):
        thief._finish(edited, walk)
    assert do(pushing, thief, act()) == "identity.act_unconfirmed" and not pushing.log("ActConfirmed")


def test_without_the_name_nothing_can_be_asked_for_this_attempt(pushing: Lab) -> None:
    """The nonce and the state never passed through the thief's hands, so a request of their own is for nothing."""
    thief = pushing.sign_in("ben")
    step = begun(thief)
    own = {"response_type": "code", "scope": "openid", "code_challenge_method": "S256", "redirect_uri": REDIRECT,
           "code_challenge": "c" * 43, "client_id": "weighthouse", "request_uri": "none"}  # fmt: skip
    page = thief._http.get(with_query(step["url"], own))
    assert "request_uri_not_supported" in page.headers.get("location", "") and page.status_code == 303


def test_a_sign_in_and_a_step_up_work_by_pushed_requests(pushing: Lab) -> None:
    browser = pushing.browser()
    assert browser.sign_in("ada").headers["location"] == "/inbox"
    client = pushing.sign_in("ben")
    assert pushing.sign_in("ben", client, step_up=True).get("me")["assurance"]["level"] == 2


def test_the_page_that_says_what_is_confirmed_asks_anew_before_what_was_pushed_runs_out(pushing: Lab) -> None:
    browser = pushing.browser()
    browser.sign_in("ben")
    page = browser.get("/confirm?" + urlencode({"acts": json.dumps([THAW]), "return_to": "/inbox"}))
    after, _, again = page.headers["refresh"].partition("; url=")
    assert page.status_code == 200 and 0 < int(after) < 60
    for _ in range(30 * 60 // int(after) - 1):  # the page is left open, and nobody sits before it
        pushing.clock.advance(int(after) * 1_000)
        page = browser.get(again)
        assert page.status_code == 200 and page.headers["refresh"] == f"{after}; url={again}"
    pushing.clock.advance(int(after) * 1_000)
    assert browser.get(again).status_code != 200 and browser.me().json()["code"] == "identity.session_expired"


def test_whoever_floods_the_way_in_asks_the_provider_no_more_and_keeps_nobody_else_out(
    pushing: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "A_MINUTE", 3)
    flood, other = pushing.browser(peer="198.51.100.7"), pushing.browser(peer="198.51.100.8")
    codes = [flood.get("/login", accept="application/json").status_code for _ in range(5)]
    begun = pushing.sql("SELECT count(*) FROM identity_start")[0][0]
    assert codes == [303, 303, 303, 429, 429] and begun == 3
    assert other.get("/login").status_code == 303
    pushing.clock.advance(MINUTE)
    assert flood.get("/login").status_code == 303
    pushing.clock.advance(MINUTE)
    network = [pushing.browser(peer=f"2001:db8::{one}").get("/login").status_code for one in range(1, 5)]
    assert network == [303, 303, 303, 429]


def test_g8_whoever_floods_from_the_offices_address_keeps_no_known_browser_or_key_out(
    pushing: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests a second from behind an office's address were enough that nobody there could begin to sign in."""
    office = "198.51.100.7"
    colleague, desk, laptop = pushing.browser(peer=office), pushing.client(peer=office), pushing.client(peer=office)
    colleague.sign_in("ada")
    pushing.sign_in("ben", desk).enrol("desk")
    mark = colleague.cookies[DEVICE_COOKIE]
    monkeypatch.setattr(pacing, "A_MINUTE", 3)
    monkeypatch.setattr(pacing, "KNOWN_A_MINUTE", 4)
    pushing.clock.advance(MINUTE)
    flood = pushing.browser(peer=office)
    assert [flood.get("/login", accept="application/json").status_code for _ in range(5)][3:] == [429, 429]

    assert colleague.get("/login", accept="application/json").status_code == 303
    back = "http://127.0.0.1:5000/callback"
    assert desk.post("login", {"redirect_uri": back, "device_jwk": desk.key.jwk})["url"]
    with pytest.raises(ProblemError) as refusal:  # what nobody has signed in with is what a flood is made of
        laptop.post("login", {"redirect_uri": back, "device_jwk": laptop.key.jwk})
    assert refusal.value.code == "identity.too_many_begun"

    secret, _, code = mark.partition(".")
    for made_up in (secret, f"{secret}.", f"{secret}.{code[::-1]}", f"x{secret}.{code}", f"{'a' * 43}.{'0' * 32}"):
        flood.cookies[DEVICE_COOKIE] = made_up
        assert flood.get("/login", accept="application/json").status_code == 429
    assert not given_here(pushing.system, "\xe9.\udcff")  # a cookie is bytes of whoever sends it
    flood.cookies[DEVICE_COOKIE] = mark  # and whoever has one floods with that no more than with an address
    assert [flood.get("/login", accept="application/json").status_code for _ in range(5)][-2:] == [429, 429]


def refusing(answer: httpx.Response) -> OidcProvider:
    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            return httpx.Response(
                200, json={**GOOD, "pushed_authorization_request_endpoint": "https://idp.example/par"}
            )
        return answer

    from weighthouse.core.clock import SystemClock

    client = httpx.Client(transport=httpx.MockTransport(respond))
    return OidcProvider(
        client,
        IssuerProfile(issuer=GOOD["issuer"], account_issuer="idp", client_id="weighthouse"),
        clock=SystemClock(),
    )


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"error": "invalid_request"}),
        httpx.Response(401, json={"error": "invalid_client"}),
        httpx.Response(500),
        httpx.Response(201, json={}),
        httpx.Response(201, json={"request_uri": 7}),
        httpx.Response(201, json={"request_uri": "urn:\u202e"}),
        httpx.Response(201, text="<html>"),
        *(
            httpx.Response(201, json={"request_uri": "urn:one", **life})
            for life in ({}, {"expires_in": 0}, {"expires_in": -1}, {"expires_in": "60"}, {"expires_in": True})
        ),
        httpx.Response(302, headers={"location": "https://idp.example/authorize"}),
    ],
)
def test_a_request_that_cannot_be_pushed_is_not_sent_another_way(answer: httpx.Response) -> None:
    with pytest.raises(Unavailable) as error:
        refusing(answer).authorize_url(WISH)
    assert error.value.code == "identity.provider_unavailable"


def test_a_provider_that_demands_pushed_requests_must_say_where() -> None:
    with pytest.raises(Unfit, match="pushed"):
        read_discovery({**GOOD, "require_pushed_authorization_requests": True}, GOOD["issuer"])
    for wrong in ("http://idp.example/par", 7, "", "https://idp.example/par#x"):
        with pytest.raises(Unfit):
            read_discovery({**GOOD, "pushed_authorization_request_endpoint": wrong}, GOOD["issuer"])


class Hasty(httpx.BaseTransport):
    """The way to a provider whose names are good for `life` seconds, and to which each push takes `takes`."""

    def __init__(self, lab: Lab, life: int, takes: list[int]) -> None:
        self._lab, self._there, self._life, self._takes = lab, InProcess(lab.app), life, takes
        self.names: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._there.handle_request(request)
        if not request.url.path.endswith("/par"):
            return answer
        self._lab.clock.advance(self._takes.pop(0) * SECOND)
        name = json.loads(answer.read())["request_uri"]
        self.names.append(name)
        return httpx.Response(201, json={"request_uri": name, "expires_in": self._life})


@pytest.mark.parametrize("takes", [[60, 0], [61, 59], [3600, 1]])
def test_a_name_that_ran_out_on_its_way_is_pushed_anew_and_never_used(pushing: Lab, takes: list[int]) -> None:
    hasty = Hasty(pushing, 60, list(takes))
    address = pushing.use_provider(hasty, pushing.wanted).authorize_url(WISH)
    assert len(hasty.names) == 2 and query(address.url)["request_uri"] == hasty.names[1]
    assert address.good_s == 60 - takes[1]


def test_a_provider_whose_names_always_run_out_on_their_way_is_as_good_as_none(pushing: Lab) -> None:
    hasty = Hasty(pushing, 60, [60, 60])
    with pytest.raises(Unavailable) as error:
        pushing.use_provider(hasty, pushing.wanted).authorize_url(WISH)
    assert error.value.code == "identity.provider_unavailable" and len(hasty.names) == 2


@pytest.mark.parametrize(("life", "after"), [(12, 10), (60, 50), (600, 50), (1, 1)])
def test_the_page_asks_anew_before_the_provider_s_own_time_is_over(pushing: Lab, life: int, after: int) -> None:
    browser = pushing.browser()
    browser.sign_in("ben")
    pushing.use_provider(Hasty(pushing, life, [0]), pushing.wanted)
    page = browser.get("/confirm?" + urlencode({"acts": json.dumps([THAW]), "return_to": "/inbox"}))
    assert page.headers["refresh"].startswith(f"{after}; url=")
