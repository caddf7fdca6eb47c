"""Checking the stored log piece by piece, at the start and ever after. Guards entries in the middle from vanishing.

A row that was deleted, or whose columns hide it from a list, is met by no reader of the edge. So a part is checked
before anything is served, for a bounded time, and then the whole log again and again, a little at a time. What is
wrong is told once, stands in the status, and keeps everything grave from happening until the log is whole again.
"""

from __future__ import annotations

import logging
import time
from weakref import WeakKeyDictionary

from weighthouse.audit.api import doubting, personal
from weighthouse.audit.api.appending import append, damage
from weighthouse.audit.api.reading import TrustedLog, columns_agree
from weighthouse.audit.events import LogDamaged, PersonalMissing
from weighthouse.audit.model import Doubt, Scan
from weighthouse.audit.store import log as store
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, Unit, begin, read

logger = logging.getLogger("weighthouse.audit")
PIECE = 2000
START_S = 1.5
_scans: WeakKeyDictionary[System, Scan] = WeakKeyDictionary()
_told: WeakKeyDictionary[System, set[int]] = WeakKeyDictionary()


def state(system: System) -> Scan:
    """Return how far the check of the whole log has come in this process, and what it found."""
    return _scans.get(system, Scan())


def first_look(system: System) -> str:
    """Check the newest entries and as many of the first ones as a bounded time allows; return what is wrong."""
    with read(system) as unit:
        size = (store.read_head(unit.conn) or store.HeadRow(0, b"", "", 0, 0, 0, 0, b"")).size
        problem = _check(unit, max(0, size - PIECE), size)[1]
    until = time.monotonic() + START_S
    while not problem and time.monotonic() < until and state(system).rounds == 0 and state(system).place < size:
        problem = look(system).problem
    return problem


def look(system: System, piece: int = PIECE) -> Scan:
    """Check the next piece; return where that leaves the check. A problem stays until its place was found whole."""
    before = state(system)
    with read(system) as unit:
        size = (store.read_head(unit.conn) or store.HeadRow(0, b"", "", 0, 0, 0, 0, b"")).size
        place = before.place if before.place < size else 0
        again = _check(unit, before.at, before.at + 1)[1] if before.problem else ""
        at, found = _check(unit, place, min(place + piece, size))
        unkept = -1 if found or again else _unkept(unit, before.unkept, place, min(place + piece, size))
    end = min(place + piece, size)
    problem, at = (found, at) if found else (again, before.at)
    now = Scan(end if end < size else 0, before.rounds + (end >= size), problem, at, size, unkept)
    _scans[system], damage[system] = now, problem
    if problem:
        doubting.state(system, Doubt(doubting.UNREAD, f"{at} {problem}", f"entry {at}: {problem}", lasting=True))
    else:
        doubting.withdraw(system, doubting.UNREAD)
    if problem and at not in _told.setdefault(system, set()):
        _told[system].add(at)
        logger.critical("the stored log is not whole: entry %d: %s", at, problem)
        with begin(system, SYSTEM) as own:
            append(own, LogDamaged(index=at, what=problem))
    if unkept >= 0 and before.unkept < 0:
        logger.critical("entry %d: %s", unkept, personal.UNKEPT)
        with begin(system, SYSTEM) as own:
            append(own, PersonalMissing(index=unkept))
    return now


def _unkept(unit: Unit, known: int, start: int, end: int) -> int:
    """Return an entry that lacks a personal value: the one known already while it does, else the first in a piece.

    It makes no entry false, so nothing is refused for it; it is told, once while any is known.
    """
    for first, last in ((known, known + 1), (start, end)):
        if 0 <= first < last:
            rows = store.read_entries(unit.conn, start=first, end=last, limit=last - first)
            if found := personal.missing(unit, rows):
                return found[0]
    return -1


def _check(unit: Unit, start: int, end: int) -> tuple[int, str]:
    """Return the first index in [start, end) where something is wrong, and what; an empty text where nothing is."""
    log = TrustedLog(unit)
    end, expected = min(end, log.head.size), start
    for row in store.read_entries(unit.conn, start=start, end=end, limit=end - start) if end > start else ():
        if row.place != expected:
            break
        try:
            log.entry(row)
        except WeighthouseError as error:
            return row.place, error.message
        if not columns_agree(row):
            return row.place, "its columns are not what it says, so lists do not show it where it belongs"
        expected += 1
    return (expected, f"entry {expected} is missing") if expected < end else (0, "")
