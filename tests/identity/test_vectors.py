"""The verifier against public attack vectors (C2SP/wycheproof): each is judged as its authors say, or more strictly.

Stricter is allowed only where this room reads fewer algorithms than RFC 7518 names, or wants a key id or a payload.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from weighthouse.core.errors import Unauthenticated, WeighthouseError
from weighthouse.identity.rules import compact
from weighthouse.identity.rules.jwks import parse_key_set
from weighthouse.identity.rules.signature import verify_es256

VECTORS = Path(__file__).parent / "vectors"
JWS = json.loads((VECTORS / "wycheproof_jws.json").read_text())["groups"]
ES256 = json.loads((VECTORS / "wycheproof_es256.json").read_text())["groups"]
# What they call valid and this room refuses: symmetric keys, P-521, PS384, and the empty payload.
STRICTER = {"identity.bad_key_set", "identity.token_algorithm", "identity.token_key", "identity.token_malformed"}


def judge(keys: list[dict[str, Any]], token: str) -> str:
    """Take the walk of an identity token up to its signature; return the refusal's code, or nothing."""
    try:
        known = parse_key_set(json.dumps({"keys": keys}).encode())
        opened = compact.open_token(token)
        key = known.get(opened.kid)
        if key is None:
            return "identity.token_key"
        compact.check_signature(opened, key, key.algorithms)
    except WeighthouseError as refusal:
        return refusal.code
    return ""


@pytest.mark.parametrize("group", JWS, ids=lambda group: f"{group['of']} {group['comment']} {group['tests'][0][0]}")
def test_identity_cases_1_to_7_wycheproof_signatures_and_keys(
    group: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "_claims", lambda raw: {})  # the vectors sign any bytes, not only claims
    for number, comment, token, result in group["tests"]:
        code = judge(group["keys"], token)
        if result == "invalid":
            assert code, f"{number} {comment}: accepted"
        else:
            assert not code or code in STRICTER, f"{number} {comment}: {code}"


def test_the_vectors_are_not_all_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "_claims", lambda raw: {})
    accepted = [
        one for group in JWS for *_, token, result in group["tests"] if not (one := judge(group["keys"], token))
        and result == "valid"
    ]  # fmt: skip
    assert len(accepted) >= 15


def test_identity_case_1_wycheproof_raw_es256_signatures() -> None:
    for group in ES256:
        for number, comment, message, signature, result in group["tests"]:
            held = verify_es256(group["key"], bytes.fromhex(signature), bytes.fromhex(message))
            assert held == (result == "valid"), f"{number} {comment}"


@pytest.mark.parametrize(
    "part", [rb'{"iss":"\ud800"}', rb'{"\udfff":1}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b"\xef\xbb\xbf{}"]
)
def test_identity_case_8_half_a_character_is_no_text(part: bytes) -> None:
    good = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"a"}').decode().rstrip("=")
    bad = base64.urlsafe_b64encode(part).decode().rstrip("=")
    for token in (f"{good}.{bad}.AA", f"{bad}.{good}.AA"):
        with pytest.raises(Unauthenticated) as refusal:
            compact.open_token(token)
        assert refusal.value.code == "identity.token_malformed"
