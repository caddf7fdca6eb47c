"""The identity provider as a part that may rotate, stall, lie or be flooded; and the embedded one's own promises."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.identity import forge
from tests.identity.support import ORIGIN, SEED, Lab
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.errors import Invalid, Unauthenticated, Unavailable, WeighthouseError
from weighthouse.identity.adapters.dev_idp.people import matching_step, secret_of, totp_code
from weighthouse.identity.adapters.dev_idp.server import DevIdp
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.rules.jwks import parse_key_set, thumbprint

KEYS = "/discovery/v2.0/keys"


def misbehaving(lab: Lab) -> forge.Misbehaving:
    transport = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(transport, lab.wanted)
    return transport


def try_sign_in(lab: Lab, before_callback: Callable[[], object] = lambda: None) -> str:
    """Sign ada in with one factor; the refusal's code, or nothing."""
    browser = lab.browser()
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    before_callback()
    answer = browser.get(target, accept="application/json")
    return "" if answer.status_code == 303 else str(answer.json()["code"])


def test_identity_case_20_keys_may_rotate_in_the_middle_of_a_sign_in(lab: Lab) -> None:
    assert try_sign_in(lab) == ""
    assert try_sign_in(lab, lab.idp.rotate_key) == ""


def test_identity_case_20_a_withdrawn_key_is_refused(lab: Lab) -> None:
    transport = misbehaving(lab)
    assert try_sign_in(lab) == ""
    stolen = lab.idp.mint({"x": 1}).split(".")[0]
    kid = json.loads(forge.unb64(stolen))["kid"]
    lab.idp.rotate_key(withdraw_old=True)
    lab.clock.advance(10 * MINUTE)
    with pytest.raises(Unauthenticated) as refusal:
        lab.provider.key(kid)
    assert refusal.value.code == "identity.token_key"
    assert sum(path.endswith(KEYS) for path in transport.asked) == 2


ANSWERS = {
    "down": httpx.Response(503),
    "HTML": httpx.Response(200, text="<html>"),
    "50 MB": httpx.Response(200, content=b"{" + b" " * 50_000_000),
    "private": httpx.Response(
        200, json={"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB", "d": "AQAB"}]}
    ),
    "redirect to metadata": httpx.Response(302, headers={"location": "http://169.254.169.254/latest/meta-data"}),
    "a list": httpx.Response(200, json=[]),
    "deep": httpx.Response(200, content=b"[" * 100_000),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_identity_case_20_a_broken_key_endpoint_leaves_known_keys_for_ten_minutes(lab: Lab, name: str) -> None:
    transport = misbehaving(lab)
    assert try_sign_in(lab) == ""
    transport.instead = lambda request: ANSWERS[name] if request.url.path.endswith(KEYS) else None
    lab.clock.advance(6 * MINUTE)
    assert try_sign_in(lab) == ""
    lab.clock.advance(4 * MINUTE)
    assert try_sign_in(lab) == "identity.provider_unavailable"
    assert not any("169.254" in path or "meta-data" in path for path in transport.asked)


@pytest.mark.parametrize("name", ANSWERS)
def test_identity_case_20_without_keys_nobody_is_let_in(lab: Lab, name: str) -> None:
    transport = misbehaving(lab)
    transport.instead = lambda request: ANSWERS[name] if request.url.path.endswith(KEYS) else None
    assert try_sign_in(lab) == "identity.provider_unavailable"
    assert lab.rows()["session"] == lab.rows()["principal"] == 0


def test_identity_case_6_a_key_id_that_appears_twice_names_no_key(lab: Lab) -> None:
    good = lab.idp._key.as_dict(private=False)
    key = {**good, "kid": "a"}
    assert set(parse_key_set(json.dumps({"keys": [key]}).encode())) == {"a"}
    other = {"kty": "EC", "crv": "P-256", "kid": "a", "x": "A" * 43, "y": "A" * 43}
    assert parse_key_set(json.dumps({"keys": [key, other]}).encode()) == {}
    assert parse_key_set(json.dumps({"keys": [other, key]}).encode()) == {}
    assert (
        parse_key_set(json.dumps({"keys": [{**key, "use": "enc"}, {**key, "kid": 7}, {"kid": "b"}]}).encode()) == {}
    )


def test_identity_case_21_a_flood_of_unknown_key_ids_causes_one_fetch_in_five_minutes(lab: Lab) -> None:
    transport = misbehaving(lab)
    lab.provider.profile()
    for number in range(10_000):
        with pytest.raises(Unauthenticated):
            lab.provider.key(f"made-up-{number}")
    assert sum(path.endswith(KEYS) for path in transport.asked) <= 2  # the first fetch, and one for the unknown
    lab.clock.advance(5 * MINUTE)
    for number in range(1_000):
        with pytest.raises(Unauthenticated):
            lab.provider.key(f"other-{number}")
    assert sum(path.endswith(KEYS) for path in transport.asked) <= 3


DISCOVERIES = {
    "another issuer": {"issuer": "https://evil.example"},
    "plain HTTP": {"token_endpoint": "http://idp.example/token"},
    "no token endpoint": {"token_endpoint": None},
    "plain PKCE only": {"code_challenge_methods_supported": ["plain"]},
}


@pytest.mark.parametrize("name", DISCOVERIES)
def test_a_provider_that_says_something_else_is_not_spoken_to(lab: Lab, name: str) -> None:
    transport = misbehaving(lab)
    honest = transport.inner.handle_request(
        httpx.Request("GET", lab.idp.issuer + "/.well-known/openid-configuration")
    )
    body = {**json.loads(honest.read()), **DISCOVERIES[name]}
    transport.instead = lambda request: httpx.Response(200, json=body) if "well-known" in request.url.path else None
    with pytest.raises(Unavailable) as refusal:
        lab.provider.profile()
    assert refusal.value.code == "identity.provider_unavailable"
    answer = lab.browser().get("/login", accept="application/json")
    assert (answer.status_code, answer.json()["code"]) == (503, "identity.provider_unavailable")


@pytest.mark.parametrize(
    ("mode", "address", "origin"),
    [
        ("production", "127.0.0.1", ORIGIN),
        ("demo", "0.0.0.0", ORIGIN),
        ("demo", "192.168.1.5", ORIGIN),
        ("demo", "127.0.0.1", "https://weighthouse.lab"),
        ("development", "127.0.0.1", "http://127.0.0.1.evil.example"),
        ("development", "", ORIGIN),
    ],
)
def test_identity_case_47_the_embedded_provider_refuses_to_start(mode: str, address: str, origin: str) -> None:
    with pytest.raises(Invalid) as refusal:
        DevIdp(
            mode=mode, address=address, origin=origin, clock=ManualClock(), people=dict,
            secret=lambda subject: secret_of(SEED, subject), record=lambda result: None,
        )  # fmt: skip
    assert refusal.value.code == "identity.dev_idp_refused"


def test_the_providers_page_has_no_script_and_a_strict_policy(lab: Lab) -> None:
    page = lab.browser().get(lab.browser().get("/login").headers["location"])
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script" not in policy and "unsafe" not in policy
    assert "<script" not in page.text and " on" + "click" not in page.text and "frame-ancestors 'none'" in policy
    start = lab.client().post(
        "login", {"redirect_uri": "http://127.0.0.1:5000/callback", "device_jwk": lab.client().key.jwk}
    )
    assert (
        "form-action 'self' http://127.0.0.1:5000;"
        in lab.browser().get(start["url"]).headers["content-security-policy"]
    )


def test_a_code_of_the_authenticator_counts_once(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    used = lab.code("ada")
    browser.to_callback(browser.get("/step-up").headers["location"], "ada", code=used)
    with pytest.raises(AssertionError, match="not right"):
        browser.to_callback(browser.get("/step-up").headers["location"], "ada", code=used)
    with pytest.raises(AssertionError, match="not right"):
        browser.to_callback(browser.get("/step-up").headers["location"], "ada", code="")


def test_rfc_6238_vectors() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")):
        assert totp_code(secret, seconds // 30) == code
        assert matching_step(secret, code, seconds * 1000) == seconds // 30
        assert matching_step(secret, code, seconds * 1000 + 60_000) is None
    assert matching_step(secret, "", 60_000) is None


def test_rfc_7638_vector() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbIS"
        "D08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    assert thumbprint({"kty": "RSA", "e": "AQAB", "n": n}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_memory_outside_the_database_survives_a_restart_and_is_never_half_believed(lab: Lab) -> None:
    path = lab.folder / "memory"
    first = FileMemory(path, now=0)
    first.raise_version("ada", 3)
    first.raise_version("ada", 2)
    first.condemn("ses_1", 100)
    first.close()
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as file:
        file.write("v 9 half-writ")  # a line without its end was never acknowledged
    second = FileMemory(path, now=50)
    assert (second.version("ada"), second.condemned("ses_1"), second.version("half-writ")) == (3, True, 0)
    second.close()
    assert not FileMemory(path, now=200).condemned("ses_1")
    path.write_text("v x ada\n")
    with pytest.raises(WeighthouseError) as refusal:
        FileMemory(path, now=0)
    assert refusal.value.code == "identity.memory_broken"


def test_userinfo_answers_its_own_token_only(lab: Lab) -> None:
    base = lab.idp.issuer[:-5]
    assert lab.browser().get(f"{base}/userinfo", authorization="Bearer x").status_code == 401
