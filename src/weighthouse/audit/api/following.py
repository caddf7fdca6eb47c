"""Followers with cursors that skip nothing and repeat nothing. Guards reactions from being lost or faked.

Indexes have no gaps, a follower reads them one after another, and its cursor moves in the transaction of what it did.
What it is handed was checked against the signed head, so nobody can set it off by inserting a row.
"""

from __future__ import annotations

import logging

from weighthouse.audit.api import growing
from weighthouse.audit.api.reading import TrustedLog
from weighthouse.audit.model import Follower
from weighthouse.audit.store import log as store
from weighthouse.audit.store import readers
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import System, begin, read

logger = logging.getLogger("weighthouse.audit")


def pump(system: System, follower: Follower, limit: int = 200) -> int:
    """Hand the next entries (at most `limit`) to `follower`; return by how many entries its cursor moved.

    If handling one of them fails, those before it are kept, the error is raised, and the next pump begins with it.
    """
    if not _behind(system, follower):
        return 0
    try:
        return _advance(system, follower, limit)
    except Exception:
        if limit == 1:
            raise
        logger.info("follower %s failed in a batch and goes on entry by entry", follower.name)
    moved = 0
    while moved < limit and (step := _advance(system, follower, 1)):
        moved += step
    return moved


def _behind(system: System, follower: Follower) -> bool:
    with read(system) as unit:
        head = store.read_head(unit.conn)
        return head is not None and readers.cursor(unit.conn, follower.name, lock=False) != head.size


def _advance(system: System, follower: Follower, limit: int) -> int:
    with begin(system, SYSTEM) as unit:
        at = readers.cursor(unit.conn, follower.name, lock=True)
        log = TrustedLog(unit)
        if not 0 <= at <= log.head.size:
            raise growing.tampered(f"the follower {follower.name} stands at {at}, outside the log")
        rows = store.read_entries(unit.conn, start=at, end=log.head.size, limit=limit)
        expected = min(limit, log.head.size - at)
        if [row.place for row in rows] != list(range(at, at + expected)):
            raise growing.tampered(f"an entry between {at} and {at + expected} is missing")
        for row in rows:
            entry = log.entry(row)
            # The kind is read out of the leaf: the row's own column is an index that anybody could have edited.
            if not follower.kinds or entry.kind in follower.kinds:
                follower.handle(unit, entry)
        readers.move_cursor(unit.conn, follower.name, at + len(rows), unit.now)
    return len(rows)
