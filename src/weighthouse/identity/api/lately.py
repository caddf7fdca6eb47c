"""What a session did lately, in words. Guards its owner from not seeing what they did not do.

Read from the log for showing alone; nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.work import Unit

MOST = 5
_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "identity.SessionStarted": lambda _: "Signed in.",
    "identity.SessionMoved": lambda data: f"Used from another place ({data.get('outcome', '')}).",
    "identity.StepUpDone": lambda _: "Gave a second factor.",
    "identity.ActConfirmed": lambda data: " ".join(str(act) for act in data.get("acts", ())),
    "identity.ActUnconfirmed": lambda data: f"Refused, for want of a factor: {data.get('act')} {data.get('about')}.",
    "identity.CredentialRefused": lambda data: f"Presented wrongly: {data.get('code', '')}.",
}


def lately(unit: Unit, session: str) -> list[tuple[Millis, str]]:
    """The newest things that the log tells of this session, newest first: when, and what."""
    found = audit.entries(unit, subject=session, newest_first=True, limit=4 * MOST)
    return [(one.at, _WORDS[one.kind](one.data)) for one in found if one.kind in _WORDS][:MOST]
