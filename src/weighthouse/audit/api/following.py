"""Followers with cursors that skip nothing and repeat nothing. Guards reactions from being lost or faked.

Indexes have no gaps, a follower reads them one after another, and its cursor moves in the transaction of what it did.
What it is handed was checked against the signed head, so nobody can set it off by inserting a row, and the cursor
carries a seal, so nobody can silence it by moving it on.
"""

from __future__ import annotations

import logging
import time
from typing import NamedTuple
from weakref import WeakKeyDictionary

from weighthouse.audit.api import appending, growing, signing, standing
from weighthouse.audit.api.reading import TrustedLog
from weighthouse.audit.api.waking import awake
from weighthouse.audit.events import CursorMoved
from weighthouse.audit.model import Follower
from weighthouse.audit.store import log as store
from weighthouse.audit.store import readers
from weighthouse.core import signing as codes
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import System, Unit, begin, read

logger = logging.getLogger("weighthouse.audit")
TELL_EVERY_S = 3600.0
# How far each follower has come in this process, whatever the database says of it, and when it was last told of.
_seen: WeakKeyDictionary[System, dict[str, int]] = WeakKeyDictionary()
_told: WeakKeyDictionary[System, dict[str, float]] = WeakKeyDictionary()


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
        if head is None:
            return False
        place = _place(system, follower, readers.cursor(unit.conn, follower.name, lock=False))
        standing.of(system).met(follower.name, place.at, awake(system))
        return place.moved or place.at != head.size


class _Place(NamedTuple):
    """Where a follower goes on, and whether the database says something else of it than was written there."""

    at: int
    moved: bool


def _place(system: System, follower: Follower, stored: tuple[int, bytes]) -> _Place:
    """Judge a stored cursor. One that is not sealed, or older than what this process has seen, is not believed.

    Going on further back only repeats what was handled, which is harmless; going on further ahead would miss entries.
    """
    at, seal = stored
    own = _seen.setdefault(system, {}).get(follower.name)
    if not codes.equal(seal, signing.seal_cursor(system, follower.name, at)):
        return _Place(own or 0, moved=bool(at or seal) and (own is not None or bool(seal)))
    if own is not None and at < own:
        return _Place(own, moved=True)
    return _Place(at, moved=False)


def _advance(system: System, follower: Follower, limit: int) -> int:
    with begin(system, SYSTEM) as unit:
        stored = readers.cursor(unit.conn, follower.name, lock=True)
        at, moved = _place(system, follower, stored)
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
        to = at + len(rows)
        kept = readers.move_cursor(
            unit.conn, follower.name, to, unit.now, signing.seal_cursor(system, follower.name, to)
        )
        if moved or not kept:
            _tell(unit, follower, stored[0], at)
        unit.after_commit(lambda: _seen[system].update({follower.name: to}))
        unit.after_commit(lambda: standing.of(system).met(follower.name, to, awake(system)))
    return len(rows)


def moved_lately(system: System) -> list[str]:
    """Name the followers whose cursor the database moved within the last hour, as far as this process has met it."""
    now = time.monotonic()
    return sorted(name for name, at in _told.get(system, {}).items() if now - at < TELL_EVERY_S)


def _tell(unit: Unit, follower: Follower, found: int, resumed: int) -> None:
    """Leave one line an hour: a trigger that moves the cursor does so at every step."""
    told, now = _told.setdefault(unit.system, {}), time.monotonic()
    if now - told.get(follower.name, -TELL_EVERY_S) < TELL_EVERY_S:
        return
    told[follower.name] = now
    logger.critical("the cursor of the follower %s was moved in the database; it goes on all the same", follower.name)
    appending.append(unit, CursorMoved(follower=follower.name, found=found, resumed=resumed))
