"""Reasons that people type. Guards what follows from an end from depending on their words.

Attack: end a session, or have its owner end it, with exactly a reason that this program gives itself, such as "too
many sessions": the end then counted as one that says nothing against the session, and what was done in it stood. So a
person's words that read alike are kept as theirs, in quotes, before anything is decided, remembered or written.
"""

from __future__ import annotations

from weighthouse.core.caller import Caller
from weighthouse.core.work import Unit
from weighthouse.identity.api import ends, sessions


def typed(reason: str, *ours: str) -> str:
    """A reason as it is kept for somebody who typed it; `ours` are further words that nobody may pass for."""
    return f"“{reason}”" if reason in ends.DECIDING or reason in ours else reason


def end_session(unit: Unit, session_id: str, reason: str, by: Caller | str, *, of: str = "") -> None:
    """End one session now, by its id, for a reason in anybody's words; as `sessions.end_session` does."""
    sessions.end_session(unit, session_id, typed(reason), by, of=of)
