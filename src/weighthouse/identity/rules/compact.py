"""The one place where a signed token is taken apart. Guards every claim from forged, confused and oversized tokens.

Nothing else in this software decodes a JWT (RFC 7519). Shape is judged before any base64 is read, the header is an
allow-list (an embedded or linked key is never a key), and the signature is checked with exactly one algorithm and one
key that the caller's profile chose. `joserfc` does the arithmetic.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from weighthouse.core.errors import Unauthenticated
from weighthouse.identity.model import PublicKey
from weighthouse.identity.rules.jwks import loaded

MAX_TOKEN = 16 * 1024
MAX_DEPTH = 32
REMEDY = "Sign in again. If it repeats, ask an operator to compare the identity settings with the provider's."

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_HEADER = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_PROOF_HEADER = frozenset({"alg", "typ", "jwk"})


class Opened(msgspec.Struct, frozen=True):
    """A token's parts before its signature is checked: enough to choose a key by, nothing to believe."""

    token: str
    algorithm: str
    kid: str
    typ: str | None
    header: dict[str, Any]
    unverified: dict[str, Any]


def refuse(code: str, message: str) -> NoReturn:
    """Raise the refusal of a token."""
    raise Unauthenticated(code, message, REMEDY)


def _bytes(segment: str) -> bytes:
    if _SEGMENT.fullmatch(segment) is None:
        refuse("identity.token_malformed", "A part of the token is not base64url.")
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        refuse("identity.token_malformed", "A part of the token is not base64url.")
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        refuse("identity.token_malformed", "A part of the token is not spelt canonically.")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # two readers would see two different audiences
        refuse("identity.token_malformed", "The token names one member twice.")
    return found


def _constant(_text: str) -> NoReturn:
    refuse("identity.token_malformed", "The token holds a number that is none.")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
        if b"\\u" in raw:  # half a surrogate pair is no character, and whatever writes it down later would fail
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        refuse("identity.token_malformed", "A part of the token is not JSON.")
    if not isinstance(value, dict):
        refuse("identity.token_malformed", "A part of the token is not a JSON object.")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _deep(value):
        refuse("identity.token_malformed", f"A part of the token is nested deeper than {MAX_DEPTH}.")
    return value


def _deep(value: Any) -> bool:
    """Return whether anything lies deeper than the limit. How deep the parser itself goes differs between Pythons."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in level)


def _claims(raw: bytes) -> dict[str, Any]:
    """Read the payload, which is a JSON object in every token that is read here (RFC 7519 7.2)."""
    return _object(raw)


def open_token(token: str, *, proof: bool = False) -> Opened:
    """Take a compact JWS (RFC 7515) apart without believing it; `proof` allows the public `jwk` of RFC 9449.

    Raises `identity.token_malformed` or `identity.token_header`.
    """
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        refuse("identity.token_malformed", f"The token is larger than {MAX_TOKEN} bytes.")
    if not token.isascii() or token.count(".") != 2:
        refuse("identity.token_malformed", "The token does not have exactly three parts.")
    first, second, third = token.split(".")
    header, claims = _object(_bytes(first)), _claims(_bytes(second))
    _bytes(third)
    foreign = sorted(set(header) - (_PROOF_HEADER if proof else _TOKEN_HEADER))
    if foreign:
        refuse("identity.token_header", f"The token's header has {_shown(foreign[0])}, which is never read here.")
    algorithm, kid, typ = header.get("alg"), header.get("kid", ""), header.get("typ")
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not isinstance(typ, str | None):
        refuse("identity.token_header", "A member of the token's header has the wrong type.")
    if len(kid) > 256:
        refuse("identity.token_header", "The token's key id is longer than 256 characters.")
    return Opened(token, algorithm, kid, typ, header, claims)


def _shown(name: str) -> str:
    return "'" + "".join(c if c.isalnum() else "?" for c in name[:20]) + "'"


def check_signature(opened: Opened, key: PublicKey, algorithms: Sequence[str]) -> dict[str, Any]:
    """Return the claims if the signature is by `key` with one of `algorithms` that also fits the key's type.

    Raises `identity.token_algorithm` or `identity.token_signature`.
    """
    if opened.algorithm not in algorithms:
        refuse("identity.token_algorithm", "The token's algorithm is not one that this issuer signs with.")
    if opened.algorithm not in key.algorithms:  # a public RSA key must never serve as an HMAC secret
        refuse("identity.token_algorithm", "The token's algorithm does not fit the key that it names.")
    try:
        jws.deserialize_compact(opened.token, loaded(key), algorithms=[opened.algorithm])
    except (JoseError, ValueError, TypeError):
        refuse("identity.token_signature", "The token's signature does not verify.")
    return opened.unverified
