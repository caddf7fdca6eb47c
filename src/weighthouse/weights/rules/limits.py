"""Leases, budgets and classes as arithmetic. Guards against reading a little more, a little longer, a class lower."""

from __future__ import annotations

import re

from weighthouse.core.clock import DAY, Millis
from weighthouse.core.errors import Invalid
from weighthouse.weights.model import STRICT_LEASE

_DESTINATION = re.compile(r"x25519:([0-9a-f]{64})")


def lease_end(now: Millis, ttl: Millis, grant_end: Millis | None, assurance: int) -> Millis:
    """A lease ends with its grant, and within a minute for classes that ask for a second factor."""
    longest = min(ttl, STRICT_LEASE) if assurance >= 2 else ttl
    return min(now + longest, grant_end) if grant_end is not None else now + longest


def verify_level(assurance: int) -> str:
    """What a reader must check at least: classes that ask for a second factor ask for signed segments too."""
    return "signed" if assurance >= 2 else "tags"


def day_of(now: Millis) -> int:
    """The number of the UTC day."""
    return now // DAY


def recipient_of(destination: str) -> bytes:
    """The raw X25519 key of an export's destination `x25519:<64 hex digits>`; approvers see and pin this text."""
    match = _DESTINATION.fullmatch(destination)
    if match is None:
        raise Invalid(
            "weights.bad_destination",
            "An export's destination is written x25519: and 64 lower-case hex digits, the recipient's public key.",
            "Ask the recipient for their public key; request the export for exactly that destination.",
        )
    return bytes.fromhex(match.group(1))
