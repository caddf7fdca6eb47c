"""Signatures by a device's key, as WebCrypto and the SDK make them. Guards votes from anybody else's hand.

ECDSA on P-256 with SHA-256, raw r and s of 32 bytes each (IEEE P1363, RFC 7518 section 3.4).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def verify_es256(jwk: Mapping[str, str], signature: bytes, data: bytes) -> bool:
    """Return whether `signature` (64 bytes, r then s) over `data` is by the P-256 key `jwk`."""
    if len(signature) != 64:
        return False
    try:
        public = EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), SECP256R1()).public_key()
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        public.verify(der, data, ECDSA(SHA256()))
    except (InvalidSignature, ValueError, KeyError):
        return False
    return True
