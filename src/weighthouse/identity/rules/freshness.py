"""The server's own nonces for DPoP proofs (RFC 9449, section 8). Guards freshness from the client's clock.

A proof that names a nonce was made after the nonce was given out, whatever its `iat` says. The code over the time is
the caller's to make and to compare: nothing here knows a key.
"""

from __future__ import annotations

import base64
import re

from weighthouse.core.clock import MINUTE, SECOND, Millis

STEP: Millis = 30 * SECOND  # a new nonce this often
LIFE: Millis = 5 * MINUTE  # how long one counts: what somebody can mint ahead while they have the key
_NONCE = re.compile(r"([0-9a-f]{1,14})\.[A-Za-z0-9_-]{24}")


def moment(now: Millis) -> Millis:
    """Return the beginning of the step that `now` lies in: requests of one step share a nonce."""
    return now - now % STEP


def spelt(at: Millis, code: bytes) -> str:
    """Return the nonce of the step that begins `at`, under `code`."""
    return f"{at:x}.{base64.urlsafe_b64encode(code[:18]).decode()}"


def moment_of(nonce: object) -> Millis | None:
    """Return the time that a nonce claims, None if it is not even spelt as one of ours."""
    found = _NONCE.fullmatch(nonce) if isinstance(nonce, str) else None
    return int(found[1], 16) if found else None


def counts(at: Millis, now: Millis) -> bool:
    """Whether a nonce of `at` still counts; one from the future never was given out."""
    return 0 <= now - at < STEP + LIFE


def keep_until(at: Millis) -> Millis:
    """Until when a proof made with it must be remembered as used."""
    return at + STEP + LIFE
