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

from weighthouse.core.canonical import NotUtf8, utf8
from weighthouse.core.errors import Invalid
from weighthouse.identity.model import PublicKey

MAX_KEY_SET = 512 * 1024
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192  # a larger one makes each check of a signature dear
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
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
        keys = json.loads(utf8(raw))["keys"]
        items = [item for item in keys if isinstance(item, dict)]
    except NotUtf8 as error:
        raise Invalid("identity.bad_key_set", f"The issuer's key set: {error}", remedy) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Invalid("identity.bad_key_set", "The issuer's answer is not a JSON key set.", remedy) from None
    if any(_PRIVATE & set(item) for item in items):
        raise Invalid("identity.bad_key_set", "The issuer's key set shows private keys; none is trusted.", remedy)
    found: dict[str, PublicKey] = {}
    doubled: set[str] = set()
    for item in items:
        kid = item.get("kid", "")
        nameless = kid == "" and len(items) > 1  # the only key of a set needs no name (OpenID Connect Core 10.1)
        if not isinstance(kid, str) or nameless or len(kid) > 256:
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
    if item.get("use", "sig") != "sig" or "verify" not in _texts(item.get("key_ops", ["verify"])):
        return None
    if item.get("kty") == "EC" and item.get("crv") == "P-256":
        try:
            return _narrowed(PublicKey(kid, device_key(item).jwk, ("ES256",)), item)
        except Invalid:
            return None
    if item.get("kty") == "RSA" and isinstance(item.get("n"), str) and isinstance(item.get("e"), str):
        plain = {"kty": "RSA", "n": str(item["n"]), "e": str(item["e"])}
        return _narrowed(PublicKey(kid, plain, ("RS256", "PS256")), item) if _sound_rsa(plain) else None
    return None


def _sound_rsa(plain: dict[str, str]) -> bool:
    try:
        modulus = int.from_bytes(base64.urlsafe_b64decode(plain["n"] + "=" * (-len(plain["n"]) % 4)))
        if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS or _roca(modulus):
            return False
        RSAKey.import_key(dict(plain)).get_op_key("verify")
    except (JoseError, ValueError):
        return False
    return True


def _roca(modulus: int) -> bool:
    """Whether the key bears the mark of CVE-2017-15361: a power of 65537 by every small prime, so it can be factored.

    Nemec and others, The Return of Coppersmith's Attack, CCS 2017. One sound key in 2^27 is taken for such a one.
    """
    return all(any(pow(65537, power, prime) == modulus % prime for power in range(prime)) for prime in _ROCA_PRIMES)


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _narrowed(key: PublicKey, item: Mapping[str, Any]) -> PublicKey | None:
    """Return the key for the one algorithm that it says it is for (RFC 7517 4.4); None if that is none of ours."""
    said = item.get("alg")
    if said is None:
        return key
    return PublicKey(key.kid, key.jwk, (said,)) if said in key.algorithms else None
