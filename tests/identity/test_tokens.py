"""Forged and confused identity tokens: each one is refused at the callback, leaves one line, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from joserfc.jwk import RSAKey

from tests.identity import forge
from tests.identity.support import Lab
from weighthouse.core.clock import DAY, HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unauthenticated
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.model import PublicKey
from weighthouse.identity.rules.compact import check_signature, open_token

Make = Callable[[Lab, dict[str, Any]], str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for the whole table: no case changes anything, which each case checks."""
    folder: Path = tmp_path_factory.mktemp("tokens")
    database = Database(f"sqlite:///{folder / 'weighthouse.db'}")
    database.create_all()
    yield Lab(database, ManualClock(), folder)
    database.close()


def claims(**changes: Any) -> Make:
    """Rightly signed, wrong in content; None removes a claim."""

    def make(lab: Lab, good: dict[str, Any]) -> str:
        return lab.idp.mint({name: value for name, value in {**good, **changes}.items() if value is not None})

    return make


def later(**seconds: float) -> Make:
    """Rightly signed, with times moved by so many seconds from now."""

    def make(lab: Lab, good: dict[str, Any]) -> str:
        now = lab.clock.now() // 1000
        return lab.idp.mint({**good, **{name: now + shift for name, shift in seconds.items()}})

    return make


def header(**members: Any) -> Make:
    """An honest signature under a header that says more than it may."""

    def make(lab: Lab, good: dict[str, Any]) -> str:
        genuine = lab.idp.mint(good)
        first, second, third = genuine.split(".")
        head = {**json.loads(forge.unb64(first)), **members}
        return f"{forge.b64(json.dumps(head).encode())}.{second}.{third}"

    return make


def signed_header(**members: Any) -> Make:
    return lambda lab, good: lab.idp.mint(good, members)


def unsigned(algorithm: str, signature: bytes) -> Make:
    def make(lab: Lab, good: dict[str, Any]) -> str:
        kid = json.loads(forge.unb64(lab.idp.mint(good).split(".")[0]))["kid"]
        return forge.raw({"alg": algorithm, "typ": "JWT", "kid": kid}, good, lambda data: signature)

    return make


def hmac_with(secret: Callable[[Lab], bytes]) -> Make:
    def make(lab: Lab, good: dict[str, Any]) -> str:
        kid = json.loads(forge.unb64(lab.idp.mint(good).split(".")[0]))["kid"]
        return forge.raw({"alg": "HS256", "typ": "JWT", "kid": kid}, good, forge.hs256(secret(lab)))

    return make


def payload(change: Callable[[bytes], bytes]) -> Make:
    def make(lab: Lab, good: dict[str, Any]) -> str:
        first, second, third = lab.idp.mint(good).split(".")
        return f"{first}.{forge.b64(change(forge.unb64(second)))}.{third}"

    return make


def pem(lab: Lab) -> bytes:
    return lab.idp._key.as_pem(private=False)


def wrong_issuer(change: Callable[[str], str]) -> Make:
    return lambda lab, good: lab.idp.mint({**good, "iss": change(good["iss"])})


ATTACKER = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
CASES: dict[str, tuple[Make, str]] = {
    "1 alg none": (unsigned("none", b"x"), "token_algorithm"),
    "1 alg None": (unsigned("None", b"x"), "token_algorithm"),
    "1 alg NONE without signature": (unsigned("NONE", b""), "token_malformed"),
    "2 RS256 to HS256 with the public key": (hmac_with(pem), "token_algorithm"),
    "3 HMAC with the empty key": (hmac_with(lambda lab: b""), "token_algorithm"),
    "4 embedded jwk": (signed_header(jwk=ATTACKER), "token_header"),
    "5 jku": (signed_header(jku="https://evil.example/keys"), "token_header"),
    "5 x5u": (signed_header(x5u="https://evil.example/cert"), "token_header"),
    "5 x5c": (signed_header(x5c=["MIIB"]), "token_header"),
    "6 kid climbs": (header(kid="../../../etc/passwd"), "token_key"),
    "6 kid asks SQL": (header(kid="x' OR 1=1 --"), "token_key"),
    "6 kid NUL": (header(kid="a\x00b"), "token_key"),
    "6 kid long": (header(kid="k" * 300), "token_header"),
    "6 kid 20 kB": (header(kid="k" * 20_000), "token_malformed"),
    "6 kid emptied": (header(kid=""), "token_signature"),
    "7 unknown crit": (header(crit=["exp2"]), "token_header"),
    "7 b64 false": (header(b64=False), "token_header"),
    "7 zip": (header(zip="DEF"), "token_header"),
    "8 two aud": (payload(lambda p: p[:-1] + b',"aud":"evil"}'), "token_malformed"),
    "8 two aud, one escaped": (payload(lambda p: p[:-1] + rb',"\u0061ud":"evil"}'), "token_malformed"),
    "8 not an object": (payload(lambda p: b"[1]"), "token_malformed"),
    "8 NaN": (payload(lambda p: p[:-1] + b',"x":NaN}'), "token_malformed"),
    "8 deep nesting": (payload(lambda p: b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), "token_malformed"),
    "8 nesting beyond 32": (payload(lambda p: b'{"a":' + b"[" * 32 + b"]" * 32 + b"}"), "token_malformed"),
    "8 other payload": (payload(lambda p: p.replace(b'"ada"', b'"chi"')), "token_signature"),
    "9 issuer with slash": (wrong_issuer(lambda i: i + "/"), "token_issuer"),
    "9 issuer upper case": (wrong_issuer(lambda i: i.replace("127.0.0.1", "LOCALHOST")), "token_issuer"),
    "9 issuer prefix": (wrong_issuer(lambda i: i[:-5]), "token_issuer"),
    "9 common": (wrong_issuer(lambda i: "https://login.microsoftonline.com/common/v2.0"), "token_issuer"),
    "9 other cloud": (wrong_issuer(lambda i: "https://login.partner.microsoftonline.cn/x/v2.0"), "token_issuer"),
    "10 other tenant": (claims(tid="00000000-0000-0000-0000-000000000000"), "token_issuer"),
    "10 no tenant": (claims(tid=None), "token_issuer"),
    "10 consumer tenant": (claims(tid="9188040d-6c67-4c5b-b112-36a304b66dad"), "token_issuer"),
    "10 version 1": (claims(ver="1.0"), "token_issuer"),
    "11 other client": (claims(aud="other"), "token_audience"),
    "11 ours second": (claims(aud=["other", "weighthouse"]), "token_audience"),
    "11 ours first": (claims(aud=["weighthouse", "other"]), "token_audience"),
    "11 no audience": (claims(aud=None), "token_audience"),
    "11 azp foreign": (claims(azp="other"), "token_audience"),
    "12 access token": (signed_header(typ="at+jwt"), "token_type"),
    "12 access token by scp": (claims(scp="user.read"), "token_type"),
    "12 event token": (signed_header(typ="secevent+jwt"), "token_type"),
    "12 logout token": (claims(events={"http://schemas.openid.net/event/backchannel-logout": {}}), "token_type"),
    "13 app-only": (claims(idtyp="app"), "token_type"),
    "14 nonce absent": (claims(nonce=None), "token_nonce"),
    "14 nonce of another browser": (claims(nonce="x" * 43), "token_nonce"),
    "14 nonce not text": (claims(nonce=["x"]), "token_nonce"),
    "at_hash of another token": (claims(at_hash="x" * 22), "token_hash"),
    "19 expired 60 s ago": (later(exp=-60), "token_time"),
    "19 not yet": (later(nbf=61), "token_time"),
    "19 a day ahead": (later(iat=86400, exp=86500), "token_time"),
    "19 ten minutes old": (later(iat=-601), "token_time"),
    "19 lives too long": (later(exp=86401), "token_time"),
    "19 exp fraction, over": (later(exp=-60.5), "token_time"),
    "19 exp text": (claims(exp="9999999999"), "token_time"),
    "19 exp true": (claims(exp=True), "token_time"),
    "19 exp negative": (claims(exp=-1), "token_time"),
    "19 exp 2^63": (claims(exp=2**63), "token_time"),
    "19 exp absent": (claims(exp=None), "token_time"),
    "subject absent": (claims(oid=None), "token_subject"),
    "subject not text": (claims(oid=["ada"]), "token_subject"),
}


@pytest.mark.parametrize("name", CASES)
def test_identity_cases_1_to_19_a_wrong_token_opens_no_session(shared: Lab, name: str) -> None:
    make, code = CASES[name]
    provider = forge.Misbehaving(InProcess(shared.app))
    shared.use_provider(provider, shared.wanted)
    provider.twist = lambda good: make(shared, good)
    browser = shared.browser()
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    rows, lines = shared.rows(), len(shared.log())

    answer = browser.get(target, accept="application/json")

    assert (answer.status_code, answer.json()["code"]) == (401, f"identity.{code}")
    assert "__Host-sid" not in browser.cookies
    assert shared.rows() == rows
    (line,) = shared.log()[lines:]
    assert (line.kind, shared.told("SignInFailed", "reason")[-1]) == ("identity.SignInFailed", f"identity.{code}")


def test_identity_case_1_both_the_issuers_list_and_the_keys_type_must_allow_an_algorithm(shared: Lab) -> None:
    token = shared.idp.mint({"x": 1})
    opened = open_token(token)
    key = PublicKey(opened.kid, shared.idp._key.as_dict(private=False), ("RS256",))
    assert check_signature(opened, key, ("RS256",)) == {"x": 1}
    for listed, fits in ((("ES256",), ("RS256",)), (("RS256",), ("ES256",)), ((), ("RS256",))):
        with pytest.raises(Unauthenticated) as refusal:
            check_signature(opened, PublicKey(key.kid, key.jwk, fits), listed)
        assert refusal.value.code == "identity.token_algorithm"


@pytest.mark.parametrize("shift", [-59, -30])
def test_identity_case_19_a_clock_one_minute_off_is_forgiven(shared: Lab, shift: int) -> None:
    provider = forge.Misbehaving(InProcess(shared.app))
    shared.use_provider(provider, shared.wanted)
    provider.twist = lambda good: later(exp=shift)(shared, good)
    browser = shared.browser()
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    answer = browser.get(target)
    assert answer.status_code == 303 and "acr_values" in answer.headers["location"]  # first time: second factor


def test_identity_case_31_a_borrowed_mail_address_is_nobody(lab: Lab) -> None:
    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    borrowed = {"oid": "mallory", "preferred_username": "ada@lab.example", "email": "ada@lab.example", "upn": "ada"}
    provider.twist = lambda good: lab.idp.mint({**good, **borrowed})
    browser = lab.browser()
    rows, lines = lab.rows(), 0
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    rows, lines = lab.rows(), len(lab.log())

    answer = browser.get(target, accept="application/json")

    assert (answer.status_code, answer.json()["code"]) == (403, "identity.not_admitted")
    (line,) = lab.log()[lines:]
    assert (line.kind, line.data["reasons"]) == ("identity.SignInDenied", ["unknown"])
    assert lab.rows() == rows


def test_identity_case_33_roles_and_groups_in_a_token_give_nothing(lab: Lab) -> None:
    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    claimed = {"roles": ["security", "admin"], "groups": ["security"], "wids": ["62e90394"], "teams": ["security"]}
    provider.twist = lambda good: lab.idp.mint({**good, **claimed})
    browser = lab.browser()
    browser.sign_in("ada")
    assert browser.me().json()["person"]["teams"] == ["training"]


def test_identity_case_30_where_a_token_sends_us_for_groups_nobody_goes(lab: Lab) -> None:
    asked: list[str] = []

    def watched(request: httpx.Request) -> None:
        asked.append(request.url.host)

    provider = forge.Misbehaving(InProcess(lab.app))
    provider.instead = watched
    lab.use_provider(provider, lab.wanted)
    elsewhere = {
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://evil.example/groups", "access_token": "x"}},
        "hasgroups": True,
    }
    provider.twist = claims_of(lab, **elsewhere)
    browser = lab.browser()
    browser.sign_in("ada")
    assert browser.me().json()["person"]["teams"] == ["training"]
    assert set(asked) == {"127.0.0.1"}


def test_identity_case_34_the_second_factor_must_be_new_and_shown(lab: Lab) -> None:
    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    browser = lab.browser()
    browser.sign_in("ada")
    now = lab.clock.now() // 1000
    stale = (
        ({"acrs": ["c1"]}, "token_assurance"),
        ({"acrs": None}, "token_assurance"),
        ({"acrs": "c2"}, "token_assurance"),
        ({"auth_time": now - 601}, "token_assurance"),
        ({"auth_time": None}, "no_auth_time"),
        ({"auth_time": now + DAY // 1000}, "token_time"),
    )
    for changes, code in stale:
        provider.twist = lambda good, c=changes: claims(**c)(lab, good)  # type: ignore[misc]
        lab.clock.advance(30_000)
        start = browser.get("/step-up").headers["location"]
        target = browser.to_callback(start, "ada", code=lab.code("ada"))
        before, lines = browser.me().json()["assurance"], len(lab.log())
        answer = browser.get(target, accept="application/json")
        assert (answer.status_code, answer.json()["code"]) == (401, f"identity.{code}"), changes
        assert len(lab.log()) == lines + 1
        assert browser.me().json()["assurance"] == before


@pytest.mark.parametrize(
    "auth_time", [-9 * 3600, -599, -1, None], ids=["this morning", "ten minutes ago", "now", "unsaid"]
)
def test_identity_case_34_a_remembered_second_factor_does_not_settle_the_risk_check(
    lab: Lab, auth_time: int | None
) -> None:
    """Whoever holds a person's session at the provider gets a token that tells of the second factor of this morning."""
    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    lab.browser().sign_in("ada")
    lab.clock.advance(10 * HOUR)
    shown = None if auth_time is None else lab.clock.now() // 1000 + auth_time
    provider.twist = claims_of(lab, acrs=["c1", "c2"], auth_time=shown)
    thief = lab.browser()
    answer = thief.get(thief.to_callback(thief.get("/login").headers["location"], "ada"))
    assert "acr_values=c2" in answer.headers["location"]
    assert lab.log("StepUpDemanded")[-1].data["reasons"] == ["new_device"]
    assert "__Host-sid" not in thief.cookies


def claims_of(lab: Lab, **changes: Any) -> forge.Twist:
    return lambda good: claims(**changes)(lab, good)


def test_identity_case_34_without_a_time_a_second_factor_is_none(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    provider.twist = claims_of(lab, acrs=["c1", "c2"], auth_time=None)
    assert browser.get(browser.to_callback(browser.get("/login").headers["location"], "ada")).status_code == 303
    assert browser.me().json()["assurance"]["level"] == 1


def test_no_value_for_the_second_factor_means_that_there_is_none(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    wanted = msgspec.structs.replace(lab.wanted, step_up_value="")
    lab.use_provider(InProcess(lab.app), wanted)
    assert browser.get(browser.to_callback(browser.get("/login").headers["location"], "ada")).status_code == 303
    assert browser.me().json()["assurance"]["level"] == 1


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt"])
def test_an_honest_token_may_spell_its_kind_and_its_times_as_the_standard_allows(lab: Lab, typ: str) -> None:
    def twist(good: dict[str, Any]) -> str:
        return lab.idp.mint({**good, **{name: good[name] + 0.5 for name in ("exp", "iat")}}, {"typ": typ})

    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    provider.twist = twist
    browser = lab.browser()
    answer = browser.get(browser.to_callback(browser.get("/login").headers["location"], "ada"))
    assert answer.status_code == 303 and "acr_values" in answer.headers["location"]  # first time: second factor


@pytest.mark.parametrize("keys", [1, 2])
def test_a_token_that_names_no_key_counts_only_if_its_issuer_shows_one(lab: Lab, keys: int) -> None:
    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    provider.twist = lambda good: lab.idp.mint(good, {"kid": ""})
    shown = [lab.idp._key.as_dict(private=False), RSAKey.generate_key(2048, {"kid": "other"}).as_dict(private=False)]
    body = {"keys": shown[:keys]}
    provider.instead = lambda request: httpx.Response(200, json=body) if "keys" in request.url.path else None
    browser = lab.browser()
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    answer = browser.get(target, accept="application/json")
    assert answer.status_code == (303 if keys == 1 else 401), answer.text
