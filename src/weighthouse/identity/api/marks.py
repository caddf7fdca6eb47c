"""The mark of a browser: a secret that it keeps from its first session on. Guards what is known from what is made up.

It carries a code of this server's, so that whoever shows one has been signed in here, before anybody has said who
they are. It proves no person, and opens nothing.
"""

from __future__ import annotations

import secrets

from weighthouse.core.signing import Signers, equal
from weighthouse.core.work import System

_BETWEEN = "."


def fresh_mark(system: System) -> str:
    """Return a mark for a browser that has just been signed in."""
    secret = secrets.token_urlsafe(32)
    return f"{secret}{_BETWEEN}{_code(system, secret)}"


def given_here(system: System, device_mark: str) -> bool:
    """Whether this server made this mark; those of before they carried a code are not known by it."""
    secret, _, code = device_mark.partition(_BETWEEN)
    return bool(code) and equal(_code(system, secret).encode(), code.encode("utf-8", "replace"))


def _code(system: System, secret: str) -> str:
    said = f"identity.mark.given\x00{secret}".encode("utf-8", "replace")
    return system.part(Signers).mac("session", said).hex()[:32]
