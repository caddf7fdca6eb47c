"""DPoP proofs (RFC 9449): a token is worth nothing without the key it is bound to. Guards from stolen tokens.

Each proof is for one method, one address and one token, and names the server's nonce that it was made after. When it
was made is judged by that nonce alone (`rules.freshness`): `iat` is a word of the client (RFC 9449, 11.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from weighthouse.core.errors import Invalid, Unauthenticated
from weighthouse.identity.rules.compact import check_signature, open_token
from weighthouse.identity.rules.jwks import device_key, thumbprint

_JTI = re.compile(r"[A-Za-z0-9._~-]{8,128}")
_PORTS = {"http": 80, "https": 443}


class Proof(msgspec.Struct, frozen=True):
    """A proof that held: by whose key (RFC 7638 thumbprint), its one-time id, and the nonce it names."""

    key: str
    jti: str
    nonce: str


def _refuse(message: str) -> NoReturn:
    raise Unauthenticated("identity.proof_refused", message, "Send a fresh DPoP proof by your device's key.")


def check_proof(proof: str, *, method: str, url: str, token: str | None) -> Proof:
    """Check a proof for this request; `token` is the access token it must be bound to, None at the token endpoint.

    Raises `identity.proof_refused`, or `identity.token_*` when it is not even a well-formed signed token.
    """
    opened = open_token(proof, proof=True)
    jwk = opened.header.get("jwk")
    if opened.typ != "dpop+jwt" or not isinstance(jwk, dict):
        _refuse("The proof is not of type dpop+jwt with a public key.")
    try:
        key = device_key(jwk)
    except Invalid as error:
        _refuse(error.message)
    claims = check_signature(opened, key, ("ES256",))
    issued = claims.get("iat")
    if not isinstance(issued, int) or isinstance(issued, bool):
        _refuse("The proof does not say in whole seconds when it was made.")
    if claims.get("htm") != method or not _same_address(claims.get("htu"), url):
        _refuse("The proof is for another request.")
    _check_token(claims, token)
    jti = claims.get("jti")
    if not isinstance(jti, str) or _JTI.fullmatch(jti) is None:
        _refuse("The proof has no usable one-time id.")
    nonce = claims.get("nonce", "")
    return Proof(thumbprint(key.jwk), jti, nonce if isinstance(nonce, str) else "")


def _check_token(claims: dict[str, Any], token: str | None) -> None:
    if token is None:
        return
    expected = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    given = claims.get("ath")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        _refuse("The proof is for another access token.")


def _same_address(given: object, url: str) -> bool:
    return isinstance(given, str) and _plain(given) is not None and _plain(given) == _plain(url)


def _plain(url: str) -> tuple[str, str, int, str] | None:
    """Return scheme, host, port and path (RFC 9449 4.3: no query, no fragment), None if it is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname.lower(), port or _PORTS[parts.scheme], parts.path or "/"
