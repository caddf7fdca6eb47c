"""Statements that a key signed before what is bound to it was ended. Guards from a signature that a thief took along.

What a key signs names the server, the key and the moment, and no session. Attack: sign at a stolen laptop, lose the
laptop's session, for its owner ends it, and send the statement within its minutes from another session in their name
that has no key. So nothing is taken any more that a key signed before a session of its was ended as somebody else's,
or everything of its person was stopped: the memory says so at once, and the log at other servers. Who still has the
key signs anew; what was taken before is judged by the session that it was sent in.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import Conflict
from weighthouse.core.work import Unit
from weighthouse.identity.api import ends, moments
from weighthouse.identity.api.devices import read_back
from weighthouse.identity.api.key_sessions import sessions_with
from weighthouse.identity.api.moments import everything
from weighthouse.identity.api.sessions import foreign_since, over_name
from weighthouse.identity.api.states import state_of
from weighthouse.identity.events import OpeningRefused, SessionEnded
from weighthouse.identity.model import Act

STALE = "identity.signature_stale"
_ENDED = audit.Lines(SessionEnded.KIND)
_ASKED = 16  # of the newest lines about one session, which nobody ends more often than a few times


def check_still_ours(unit: Unit, caller: Caller, act: Act, device: str, at: Millis) -> None:
    """Raise Conflict `identity.signature_stale`, with one line, for what `device` signed before a session of its was
    ended as somebody else's."""
    if signed_before_end(unit, caller.principal, device, at):
        line = OpeningRefused(principal=caller.principal, act=act.type, about=act.subject, code=STALE)
        raise ended_since(line)


def ended_since(*lines: OpeningRefused) -> Conflict:
    """The refusal of what was signed before its key's session was ended."""
    return Conflict(
        STALE,
        "Since this was signed, a session of its key was ended as not yours, or everything of yours was stopped.",
        "If the key is in your hands, sign it again, and send it at once; if not, end the key.",
        record=lines,
    )


def signed_before_end(unit: Unit, person: str, device: str, at: Millis) -> bool:
    """Whether a session of this key, bound to it or one that it signed in, or everything of its person, was ended
    since that moment."""
    key, stopped = read_back(unit, device), state_of(unit, person).stopped
    mark = over_name(key.thumbprint)
    if moments.stopped(unit, mark, at) or moments.covers(unit, everything(person), stopped, at):
        return True
    longest = unit.system.settings.integer("identity.absolute_s") * SECOND
    lived = sessions_with(unit, key, max(0, at - longest))
    return any(foreign_since(unit, one, at) or _told_since(unit, one, at) for one in lived)


def _told_since(unit: Unit, session: str, at: Millis) -> bool:
    told = _ENDED.of(unit, session, newest_first=True, limit=_ASKED)
    return any(one.at >= at and ends.told(one).foreign for one in told)
