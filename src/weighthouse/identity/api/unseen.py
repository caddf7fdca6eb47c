"""Sessions whose rows are gone, or not believed, when an end is said. Guards the end from a row hidden for a moment.

Attack: who can write the database takes a session's row away, or edits it, while its person or security ends it, and
puts it back afterwards. "It cannot be read" is never "there is nothing to end": whether a session is over, who said
so, and what goes with it is asked of the memory outside the database and of the log.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core import ids
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import NotFound, Unauthenticated, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api import ends
from weighthouse.identity.api.begun import Begun, begun_lately, can_tell
from weighthouse.identity.api.ends import ACCOUNT_GONE, ALONE, CROWDED, DECIDING, FOREIGN, KEY_RETIRED, End
from weighthouse.identity.api.sealing import memory, unseal
from weighthouse.identity.api.states import state_of
from weighthouse.identity.api.weeks import WEEK
from weighthouse.identity.events import SessionEnded, SessionUsedElsewhere
from weighthouse.identity.model import Session
from weighthouse.identity.store import sessions as store

_ENDED, _USED = audit.Lines(SessionEnded.KIND), audit.Lines(SessionUsedElsewhere.KIND)


def believed_session(unit: Unit, session_id: str) -> Session | None:
    """The session of this very id if its row is believed: another's sealed body may have been put there."""
    rows = store.by_ids(unit.conn, [session_id])
    session = unseal(unit, "session", rows[0].body, rows[0].seal, Session) if rows else None
    return session if session is not None and session.id == session_id else None


def unreadable(unit: Unit, person: str) -> list[str]:
    """The sessions of a person that may live and whose rows are gone, or not believed: those that their sealed state
    lists, and those that began by the log and are not over, for a state may be hidden as well."""
    try:
        listed = state_of(unit, person).sessions
    except Unauthenticated:
        listed = ()
    told = (one.session for one in begun_lately(unit, person) if not over_unseen(unit, one.session, person))
    return [one for one in dict.fromkeys((*listed, *told)) if believed_session(unit, one) is None]


def over_unseen(unit: Unit, session: str, person: str) -> bool:
    """Whether a session of `person` is over, though no row tells it. That its id was condemned while nobody could say
    whose it was is no end of it yet: nothing was disowned by that."""
    if foreign_unseen(unit, session, person) or _ends_of(unit, session, person):
        return True
    kept = memory(unit.system)
    end = ends.recalled(kept, session) if kept.condemned(session) else None
    return end is not None and not end.foreign


def foreign_unseen(unit: Unit, session: str, person: str) -> bool:
    """Whether a session of `person` was ended as somebody else's, though no row tells it."""
    if memory(unit.system).version(foreign_name(session)) > 0:
        return True
    return any(ends.told(one).foreign for one in _ends_of(unit, session, person))


def is_said(unit: Unit, session: str, person: str) -> bool:
    """Whether somebody has ended this session as not its person's in words of their own, which is said once: by the
    memory of this server, or by a line. What this program finds out by itself, or ends along with it, is no such
    word."""
    if memory(unit.system).version(said_name(session)) > 0:
        return True
    return any(
        one.data["by"] != SYSTEM.principal and one.data.get("whose") == FOREIGN and not _along(unit, one)
        for one in _ends_of(unit, session, person)
        if one.kind == SessionEnded.KIND
    )


def keep_said(unit: Unit, session: str) -> None:
    """Remember, once it is committed, that somebody has said so."""
    unit.after_commit(lambda: memory(unit.system).raise_version(said_name(session), unit.now))


def said_name(session: str) -> str:
    return f"said of {session}"


def foreign_name(session: str) -> str:
    return f"foreign {session}"


def _along(unit: Unit, line: audit.Entry) -> bool:
    """Whether a line tells that a session ended along with another; whose words are erased, or gone, may."""
    try:
        reason = audit.reveal(unit, line)["reason"]
    except WeighthouseError:
        return True
    return not isinstance(reason, str) or reason in ALONE


def _ends_of(unit: Unit, session: str, person: str) -> list[audit.Entry]:
    """The lines of its ends. A log in doubt tells of none: then an end is said once more."""
    try:
        lines = [*_ENDED.of(unit, session), *_USED.of(unit, session)]
    except WeighthouseError:
        return []
    return [one for one in lines if one.data["principal"] == person]


def takes_along(unit: Unit, begun: Begun | None, mark: str, reason: str) -> bool:
    """Whether the end of a session without a row, for this reason, ends others of its key or browser: all others of
    its person, where nobody can tell which those are. What only follows from a policy or a retired key does not reach
    so far; nor does what only follows from a key if the session is so long over that its row was forgotten."""
    if not mark and (reason in (ACCOUNT_GONE, KEY_RETIRED) or (begun is None and can_tell(unit))):
        return False  # what the log can tell, and does not, never was a session
    forgotten = begun is not None and begun.ends + WEEK < unit.now
    return not (forgotten and reason in DECIDING)


def unseen_end(unit: Unit, session_id: str, reason: str, by: Caller | str) -> End:
    """The end of a session whose row is not believed; whose it was may be anybody's."""
    checked, name = ids.check_id(session_id, "ses"), by if isinstance(by, str) else by.principal
    return End(session=checked, by=name, reason=reason, foreign=reason != CROWDED, at=unit.now)


def longest(unit: Unit) -> Millis:
    """Until when a session may live at most."""
    return unit.now + unit.system.settings.integer("identity.absolute_s") * SECOND


def end_by_id(unit: Unit, session_id: str, reason: str, by: Caller | str) -> NotFound:
    """Condemn a session of which nobody says whose it is; return the refusal, with the line."""
    kept = memory(unit.system)
    unseen = unseen_end(unit, session_id, reason, by)
    line = SessionEnded(session=session_id, principal="", reason=reason, by=unseen.by, whose=unseen.whose)
    lines = [] if kept.condemned(session_id) else [line]
    ends.remember(kept, unseen, longest(unit))
    return NotFound(
        "identity.session_unknown",
        "There is no such session; one whose row is gone is over all the same.",
        "Pick one from the list of sessions.",
        record=lines,
    )
