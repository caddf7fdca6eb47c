"""Work that nobody waits for: ends that the memory already enforces are written down, and old rows forgotten.

Nothing here enforces anything; a server that never tidies lets nobody in. An end whose change was lost is written as
what it was, by the hand that it was said by, with the line that the log lacks: never as a theft that there was not.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE
from weighthouse.core.work import System, Unit, begin
from weighthouse.identity.api import ends
from weighthouse.identity.api.ends import End
from weighthouse.identity.api.lately import KEEP_SESSIONS
from weighthouse.identity.api.sealing import memory, unseal
from weighthouse.identity.api.sessions import drop, write_end
from weighthouse.identity.api.states import version_now
from weighthouse.identity.events import SessionEnded, SessionUsedElsewhere
from weighthouse.identity.model import HISTORY, Session
from weighthouse.identity.store import acts as act_store
from weighthouse.identity.store import sessions as session_store
from weighthouse.identity.store import sign_ins as store

_ENDED, _USED = audit.Lines(SessionEnded.KIND), audit.Lines(SessionUsedElsewhere.KIND)


def tidy(system: System) -> int:
    """Write down ends of condemned sessions, forget old rows; return how many ends were written."""
    memory(system).forget(system.clock.now() - KEEP_SESSIONS)
    over = [one for one in memory(system).all_condemned() if one.startswith("ses_")]
    with begin(system) as unit:
        written = sum(_write(unit, row) for row in session_store.by_ids(unit.conn, over))
        store.forget_starts(unit.conn, unit.now)
        act_store.forget_acts(unit.conn, unit.now)
        store.forget_results(unit.conn, unit.now - HISTORY)
        session_store.forget_sessions(unit.conn, unit.now - KEEP_SESSIONS)
    return written


def _write(unit: Unit, row: session_store.Row) -> bool:
    session = unseal(unit, "session", row.body, row.seal, Session)
    end = ends.recalled(memory(unit.system), row.id)
    if session is None or (session.ended is not None and not _anew(session, end)):
        return False
    found = _line(unit, session, end)
    if found is None and end is not None and not _settled(unit, end):
        return False  # perhaps its change is still under way, or its line is not in the log yet
    drop(unit, session.person, frozenset({session.id}))
    known = end or found or End(session=session.id, by="system", reason=ends.UNKNOWN, foreign=True, at=unit.now)
    write_end(unit, session, known)
    if found is None:
        audit.append(unit, _owed(unit, session, known))
    return True


def _anew(session: Session, end: End | None) -> bool:
    """Whether a session whose row tells of its own end was ended from elsewhere since, which the row lacks."""
    return end is not None and end.foreign and bool(session.whose) and not session.foreign


def _settled(unit: Unit, end: End) -> bool:
    return unit.now - end.at > MINUTE and not audit.backlog(unit).waiting


def _line(unit: Unit, session: Session, end: End | None) -> End | None:
    """What the log tells of the end that is remembered; of any, if nobody remembers why."""
    told = [ends.told(one) for lines in (_USED, _ENDED) for one in lines.of(unit, session.id, newest_first=True)]
    if end is None:
        return next((one for one in told if one.foreign), told[0] if told else None)
    return next((one for one in told if (one.by, one.foreign) == (end.by, end.foreign)), None)


def _owed(unit: Unit, session: Session, end: End) -> SessionEnded | SessionUsedElsewhere:
    if end.changed:
        return SessionUsedElsewhere(
            session=session.id, principal=session.person, changed=end.changed, origin="", address="", user_agent=""
        )
    version = version_now(unit, session.person)
    return SessionEnded(
        session=session.id,
        principal=session.person,
        reason=end.reason,
        by=end.by,
        version=version,
        whose=end.whose,
    )
