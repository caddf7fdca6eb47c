"""What was done in a session after its end. Guards from acts that won the race against the end by a moment.

An act that is under way when its session is ended is refused at its commit. One that committed in that very moment,
or at a server that had not heard of the end, has a line that comes after that of the end, where nobody who looks at
the end finds it. So each line of an act that opens something is looked at as well, and what the end takes back is
taken back then: whichever line comes last, once.
"""

from __future__ import annotations

from weighthouse.access.api.closed_again import OPENED, close_late
from weighthouse.access.api.foreign import ender, settle_session
from weighthouse.access.api.rested_on import tell_late
from weighthouse.access.api.voiding import void_session
from weighthouse.access.events import GrantStarted, PolicyPublished, RequestSubmitted, VoteCast
from weighthouse.audit import api as audit
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity

KINDS = OPENED | {RequestSubmitted.KIND, VoteCast.KIND, GrantStarted.KIND, PolicyPublished.KIND}
_ASKED, _VOTES = audit.Lines(RequestSubmitted.KIND), audit.Lines(VoteCast.KIND)


def late(unit: Unit, entry: audit.Entry) -> None:
    """Take back what this line opened, if that was somebody else's by what is known now."""
    if entry.kind in OPENED:
        close_late(unit, entry)
    elif entry.kind == PolicyPublished.KIND:
        tell_late(unit, entry)
    elif entry.kind == GrantStarted.KIND:
        request = str(entry.data["request_id"])
        for one in (*_ASKED.of(unit, request), *_VOTES.of(unit, request)):
            _given(unit, one)
    else:
        _given(unit, entry)


def _given(unit: Unit, act: audit.Entry) -> None:
    """Take back a request or a vote, and what was given for it."""
    session = str(act.data.get("session", ""))
    person = str(act.data["principal" if act.kind == RequestSubmitted.KIND else "voter"])
    if not session or not identity.disowned(unit, person, session, act.at):
        return
    if act.kind == RequestSubmitted.KIND:
        settle_session(unit, person, session, ender(unit, act))
    else:
        void_session(unit, person, session, ender(unit, act))
