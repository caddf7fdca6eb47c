"""A secret that is over, presented all the same. Guards from a copy that nobody would hear of.

An ended session and a token that a step-up has replaced open nothing. But whoever still presents one has it, and
perhaps had it while it opened something: that leaves one line, at most one a minute for a session.
"""

from __future__ import annotations

from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import Unit
from weighthouse.identity.api.sealing import mark_of_origin, memory
from weighthouse.identity.api.sessions import digest_of
from weighthouse.identity.events import CredentialRefused

AGAIN = "Sign in again."
REPLACED = "identity.secret_replaced"
RACE = MINUTE  # a client may have had a request under way while another window stepped up


def over(unit: Unit, session: str, person: str, address: str) -> Unauthenticated:
    """The refusal of an ended session, with its line."""
    error = Unauthenticated("identity.session_ended", "This session has ended.", AGAIN)
    return told(unit, session, person, address, error.code, error)


def unknown(unit: Unit, secret: str, address: str) -> Unauthenticated:
    """The refusal of a secret that belongs to no session; with a line, if it once did."""
    error = Unauthenticated("identity.session_unknown", "This session does not exist or has ended.", AGAIN)
    begins = f"rotated {digest_of(secret)} "
    kept = next((one for one in memory(unit.system).all_condemned() if one.startswith(begins)), "")
    if not kept:
        return error
    _, _, session, person, at = kept.split(" ")
    return error if unit.now - int(at) < RACE else told(unit, session, person, address, REPLACED, error)


def told(unit: Unit, session: str, person: str, address: str, code: str, error: Unauthenticated) -> Unauthenticated:
    """Give a refusal its line, unless this session had one less than a minute ago."""
    if first_word(unit, session):
        origin = mark_of_origin(unit, address)
        line = CredentialRefused(subject_id=session, principal=person, code=code, origin=origin, address=address)
        error.record = (line,)
    return error


def first_word(unit: Unit, session: str) -> bool:
    """Whether nothing was said for a minute of this session's (or origin's) presenting wrongly; it is said now."""
    tick = unit.system.clock.monotonic()
    return memory(unit.system).first_use(f"told {session}", keep_until=tick + MINUTE, now=tick)
