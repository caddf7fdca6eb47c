"""Work that nobody waits for: ends that the memory already enforces are written down, and old rows forgotten.

Nothing here enforces anything; a server that never tidies lets nobody in.
"""

from __future__ import annotations

from weighthouse.core.clock import DAY
from weighthouse.core.work import System, begin
from weighthouse.identity.api.authentication import end_used_elsewhere
from weighthouse.identity.api.sealing import memory, unseal
from weighthouse.identity.model import HISTORY, Session
from weighthouse.identity.store import acts as act_store
from weighthouse.identity.store import sessions as session_store
from weighthouse.identity.store import sign_ins as store

KEEP_SESSIONS = 7 * DAY


def tidy(system: System) -> int:
    """Write down ends of condemned sessions, forget old rows; return how many ends were written."""
    written = 0
    memory(system).forget(system.clock.now() - KEEP_SESSIONS)
    over = [one for one in memory(system).all_condemned() if one.startswith("ses_")]
    with begin(system) as unit:
        for row in session_store.by_ids(unit.conn, over):
            session = unseal(unit, "session", row.body, row.seal, Session)
            if session is not None and session.ended is None:
                end_used_elsewhere(unit, session)
                written += 1
        store.forget_starts(unit.conn, unit.now)
        act_store.forget_acts(unit.conn, unit.now)
        store.forget_results(unit.conn, unit.now - HISTORY)
        session_store.forget_sessions(unit.conn, unit.now - KEEP_SESSIONS)
    return written
