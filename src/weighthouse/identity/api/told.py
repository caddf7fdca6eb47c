"""What the log tells of a session. Guards what was done in one from a server that has not heard of its end.

The memory outside the database answers every decision (`disclaimed`). Where something is given that lasts, the log is
asked as well, by what was hashed: so a server that has not learnt a line yet, or a memory from before something was
kept there, lets nothing through.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.work import Unit
from weighthouse.identity.api import ends
from weighthouse.identity.api.states import state_of
from weighthouse.identity.api.unseen import believed_session
from weighthouse.identity.events import Disowned, PersonFrozen, SessionEnded, SessionStarted, SessionUsedElsewhere

_STOPS = (audit.Lines(Disowned.KIND), audit.Lines(PersonFrozen.KIND))
_ENDS = (audit.Lines(SessionEnded.KIND), audit.Lines(SessionUsedElsewhere.KIND))
_BEGUN = audit.Lines(SessionStarted.KIND)
_ASKED = 16  # of the newest lines about one session, which nobody ends more often than a few times


def is_of(unit: Unit, person: str, session: str) -> bool:
    """Whether a session is, or was, a person's: among those that live by their sealed state, whatever became of its
    row; by its sealed row; or, where that is gone or edited, by the line of its beginning."""
    if session in state_of(unit, person).sessions:
        return True
    row = believed_session(unit, session)
    if row is not None:
        return row.person == person
    begun = _BEGUN.newest(unit, session)
    return begun is not None and begun.data["principal"] == person


def disclaimed_in_log(unit: Unit, person: str, session: str, at: Millis) -> bool:
    """Whether the log tells that what was done then, in that session, is not the person's own: they were frozen or
    said so since, or the session was ended from elsewhere."""
    newest = (lines.newest(unit, person) for lines in _STOPS)
    if any(line is not None and line.at >= at for line in newest):
        return True
    if not session:
        return False
    told = (line for lines in _ENDS for line in lines.of(unit, session, newest_first=True, limit=_ASKED))
    return any(ends.told(line).foreign for line in told)
