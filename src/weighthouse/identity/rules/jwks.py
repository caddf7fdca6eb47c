"""Public keys from untrusted JSON. Guards the verifier from private, weak, doubled and mistyped keys.

Only RSA of 2048 bits or more and EC P-256 are read (RFC 7517, RFC 7518); a key id that appears twice names no key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from weighthouse.core.errors import Invalid
from weighthouse.identity.model import PublicKey

MAX_KEY_SET = 512 * 1024
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")
_REMEDY = "Send a P-256 public key as kty, crv, x and y, and keep the private part to yourself."


def loaded(key: PublicKey) -> RSAKey | ECKey:
    """Return the key in the form the signature library reads."""
    return RSAKey.import_key(dict(key.jwk)) if key.jwk["kty"] == "RSA" else ECKey.import_key(dict(key.jwk))


def device_key(jwk: Mapping[str, Any]) -> PublicKey:
    """Read a device's P-256 public key; raise `identity.bad_key` for anything else, above all for a private part."""
    if _PRIVATE & set(jwk):
        raise Invalid("identity.bad_key", "The key holds its private part, so it is no longer yours alone.", _REMEDY)
    plain = {name: jwk.get(name) for name in ("kty", "crv", "x", "y")}
    if plain["kty"] != "EC" or plain["crv"] != "P-256":
        raise Invalid("identity.bad_key", "The key is not an EC key on curve P-256.", _REMEDY)
    for name in ("x", "y"):
        if not isinstance(plain[name], str) or _COORDINATE.fullmatch(str(plain[name])) is None:
            raise Invalid("identity.bad_key", f"The key's coordinate {name} is not 32 bytes of base64url.", _REMEDY)
    key = PublicKey("", {name: str(value) for name, value in plain.items()}, ("ES256",))
    try:
        loaded(key).get_op_key("verify")
    except (JoseError, ValueError) as error:
        raise Invalid("identity.bad_key", "The key is not a point on the curve P-256.", _REMEDY) from error
    return key


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the RFC 7638 thumbprint (base64url of SHA-256) of an EC or RSA public key."""
    members = ("crv", "kty", "x", "y") if jwk["kty"] == "EC" else ("e", "kty", "n")
    text = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def parse_key_set(raw: bytes) -> dict[str, PublicKey]:
    """Read an issuer's key set into keys by exact key id; keys we cannot use are left out.

    Raises `identity.bad_key_set` when it is not a key set, is too large, or holds private parts.
    """
    remedy = "Point identity.issuer at an OpenID provider; its jwks_uri must serve a JSON key set (RFC 7517)."
    if len(raw) > MAX_KEY_SET:
        raise Invalid("identity.bad_key_set", f"The issuer's key set is larger than {MAX_KEY_SET} bytes.", remedy)
    try:
        keys = json.loads(raw)["keys"]
        items = [item for item in keys if isinstance(item, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Invalid("identity.bad_key_set", "The issuer's answer is not a JSON key set.", remedy) from None
    if any(_PRIVATE & set(item) for item in items):
        raise Invalid("identity.bad_key_set", "The issuer's key set shows private keys; none is trusted.", remedy)
    found: dict[str, PublicKey] = {}
    doubled: set[str] = set()
    for item in items:
        kid = item.get("kid")
        if not isinstance(kid, str) or not kid or len(kid) > 256:
            continue
        if kid in found or kid in doubled:  # one name, two keys: an attacker would choose which
            doubled.add(kid)
            found.pop(kid, None)
            continue
        key = _usable(kid, item)
        if key is None:
            doubled.add(kid)
        else:
            found[kid] = key
    return found


def _usable(kid: str, item: Mapping[str, Any]) -> PublicKey | None:
    if item.get("use", "sig") != "sig":
        return None
    if item.get("kty") == "EC" and item.get("crv") == "P-256":
        try:
            return PublicKey(kid, device_key(item).jwk, ("ES256",))
        except Invalid:
            return None
    if item.get("kty") == "RSA" and isinstance(item.get("n"), str) and isinstance(item.get("e"), str):
        try:
            read = RSAKey.import_key({"kty": "RSA", "n": item["n"], "e": item["e"]})
        except (JoseError, ValueError):
            return None
        if read.public_key.key_size < 2048:
            return None
        return PublicKey(kid, {"kty": "RSA", "n": item["n"], "e": item["e"]}, ("RS256",))
    return None
