"""A provider whose JSON is JSON and nothing else, addresses that carry a query already, and browsers as people use
them: two tabs, a page loaded again, a second sign-in. Nothing here ends in an error nobody foresaw."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity import forge
from tests.identity.support import Lab
from weighthouse.core.errors import WeighthouseError
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.rules.discovery import Unfit, read_discovery, with_query
from weighthouse.identity.rules.jwks import parse_key_set

ISSUER = "https://idp.example/v2.0"
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://idp.example/authorize?p=B2C_1_signin",
    "token_endpoint": "https://idp.example/token?p=B2C_1_signin",
    "jwks_uri": "https://idp.example/keys",
}
BAD_ADDRESSES = ("https://xn--a.example/", "https://[::1", "https://idp example/", "https://\u200b/", "https:///x",
    "https://idp.example/x#y", "https://u:p@idp.example/", "https://idp.example:99999/", "x" * 3_000)  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FIELDS = (*GOOD, "code_challenge_methods_supported", "authorization_response_iss_parameter_supported")
KEY_FIELDS = ("kty", "kid", "n", "e", "x", "y", "crv", "use", "key_ops", "alg")


def test_i5_an_endpoint_with_a_query_keeps_it_and_gets_ours_beside_it() -> None:
    made = with_query(GOOD["authorization_endpoint"] + "&state=theirs", {"state": "ours", "nonce": "a&b=c"})
    assert made.count("?") == 1
    assert parse_qsl(urlsplit(made).query) == [("p", "B2C_1_signin"), ("state", "ours"), ("nonce", "a&b=c")]


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("value", [None, 7, [], {}, "", *BAD_ADDRESSES], ids=repr)
def test_i8_an_address_that_is_none_is_named(name: str, value: object) -> None:
    with pytest.raises(Unfit, match=r"usable address|TLS"):
        read_discovery({**GOOD, name: value}, ISSUER)


@pytest.mark.parametrize(
    ("methods", "fits"), [(None, True), (["S256"], True), ("S256", False), ({}, False), (1, False)]
)
def test_i8_methods_of_pkce_are_a_list_or_nothing(methods: object, fits: bool) -> None:
    found = {**GOOD, "code_challenge_methods_supported": methods}
    if fits:
        assert read_discovery(found, ISSUER).token == GOOD["token_endpoint"]
    else:
        with pytest.raises(Unfit, match="PKCE"):
            read_discovery(found, ISSUER)


@given(st.sampled_from(FIELDS), ANY)
def test_i8_no_value_of_any_field_of_discovery_escapes(name: str, value: object) -> None:
    try:
        read_discovery({**GOOD, name: value}, ISSUER)
    except Unfit as unfit:
        assert str(unfit)


@given(st.dictionaries(st.sampled_from(KEY_FIELDS), ANY | st.sampled_from(["RSA", "EC", "P-256", "AQAB"])))
def test_i8_no_value_of_any_field_of_a_key_escapes(key: dict[str, object]) -> None:
    assert isinstance(parse_key_set(json.dumps({"keys": [key]}).encode()), dict)


def answers(lab: Lab, path: str, body: bytes) -> None:
    transport = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(transport, lab.wanted)
    transport.instead = lambda asked: httpx.Response(200, content=body) if asked.url.path.endswith(path) else None


TOKENS = (b'{"id_token": null}', b'{"id_token": 7}', b'{"id_token": "\\ud800"}', b"[]", b"null", b'{"access_token":[]}',
    b'{"id_token": "a.b.c", "access_token": null}', b'{"id_token": "\xc3\xa9.b.c"}')  # fmt: skip


@pytest.mark.parametrize("body", TOKENS, ids=repr)
def test_i8_an_odd_token_answer_is_refused_with_one_line(lab: Lab, body: bytes) -> None:
    answers(lab, "/token", body)
    browser = lab.browser()
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    lines = len(lab.log())
    answer = browser.get(target, accept="application/json")
    assert answer.status_code in (401, 503), answer.text
    (line,) = lab.log()[lines:]
    assert line.kind == "identity.SignInFailed"
    assert lab.told("SignInFailed", "reason")[-1] == answer.json()["code"]


@pytest.mark.parametrize("value", [None, "\ud800", "https://xn--a.example/"], ids=repr)
def test_i8_an_odd_discovery_document_is_a_part_that_is_down(lab: Lab, value: object) -> None:
    found = {**GOOD, "issuer": lab.wanted.issuer, "jwks_uri": value}
    answers(lab, "/openid-configuration", json.dumps(found).encode())
    with pytest.raises(WeighthouseError) as refusal:
        lab.provider.profile()
    assert refusal.value.code == "identity.provider_unavailable"


def test_i8_two_tabs_sign_in_and_a_page_loaded_again_goes_home(lab: Lab) -> None:
    lab.browser().sign_in("ada")
    browser = lab.browser()
    targets = []
    for _ in range(2):
        start = browser.get("/login").headers["location"]
        targets.append(browser.to_callback(start, "ada"))
    for target in targets:  # the first tab comes back though the second has begun since
        assert browser.get(target, accept="application/json").status_code == 303
    browser.sign_in("ada")
    again = browser.get(targets[0], accept="text/html")
    assert (again.status_code, again.headers["location"]) == (303, "/")
    assert lab.browser().get(targets[0], accept="application/json").json()["code"] == "identity.start_unknown"


def test_i8_a_new_sign_in_ends_the_session_that_this_browser_had(lab: Lab) -> None:
    browser, other = lab.browser(), lab.browser()
    browser.sign_in("ada")
    other.sign_in("ada")
    before = browser.cookies["__Host-sid"]
    browser.sign_in("ada")
    assert lab.told("SessionEnded", "reason") == ["signed in anew"]
    assert other.me().status_code == browser.me().status_code == 200
    browser.cookies["__Host-sid"] = before
    assert browser.me().json()["code"] == "identity.session_ended"


def test_i8_head_of_a_page_is_get_without_its_body_and_uses_nothing_up(lab: Lab) -> None:
    browser = lab.browser()
    whole, head = browser.get("/static/app.css"), browser.send("HEAD", "/static/app.css")
    assert (head.status_code, head.content) == (whole.status_code, b"")
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    assert browser.send("HEAD", target).status_code == 405
    assert browser.get(target).status_code == 303
