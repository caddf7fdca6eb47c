"""The secrets of the development provider: derived from one key, never stored. Guards a real password from use here.

Whoever has the key has every password; that is what makes this provider unfit for production.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

import msgspec

from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.signing import derive

STEP: Millis = 30 * SECOND


class DevPerson(msgspec.Struct, frozen=True):
    """One account of the development provider: its immutable subject and a name to show."""

    subject: str
    name: str


class DevSecret(msgspec.Struct, frozen=True):
    """What a person types: a password, and the base32 secret of their authenticator (RFC 6238)."""

    password: str
    totp: str

    def __repr__(self) -> str:
        return "DevSecret(…)"

    def link(self, subject: str) -> str:
        """Return the otpauth address that an authenticator application reads as a QR code."""
        return f"otpauth://totp/Weighthouse%20dev:{quote(subject)}?secret={self.totp}&issuer=Weighthouse%20dev"


def secret_of(seed: bytes, subject: str) -> DevSecret:
    """Derive one person's password and authenticator secret from the provider's 32-byte seed."""
    password = base64.b32encode(derive(seed, f"dev-idp password {subject}")[:10]).decode().lower()
    totp = base64.b32encode(derive(seed, f"dev-idp totp {subject}")[:20]).decode()
    return DevSecret("-".join(password[i : i + 4] for i in range(0, 16, 4)), totp)


AHEAD = 60


def totp_code(secret: str, step: int) -> str:
    """Return the six digits of RFC 6238 (HMAC-SHA-1, RFC 4226) for a 30-second step."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def matching_step(secret: str, code: str, now: Millis) -> int | None:
    """Return the step that `code` belongs to, None if it fits none: one before, or one of the next half hour.

    Every act asks for a code of its own, and each counts once; whoever has the secret (a demo, a test) need not wait
    for the clock between two. A real provider takes one step ahead at most, and this one is for development only.
    """
    here = now // STEP
    found = None
    for step in range(here - 1, here + AHEAD + 1):
        if hmac.compare_digest(totp_code(secret, step).encode(), code.encode()):
            found = step
    return found
