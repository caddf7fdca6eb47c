"""Checking the whole stored log. Guards against edits by whoever holds the database; names the first bad place.

Goes from the signed head down: signature, signer's memory, tiles level by level, then every row against its tile. The
same checks are made, by other code, by `weighthouse-verify` over an export.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from weighthouse.audit.api import clusters, growing, lanes, missing, personal, scanning, signing
from weighthouse.audit.api.reading import columns_agree
from weighthouse.audit.model import Problem, Remembered, Report
from weighthouse.audit.rules import tiles, tree
from weighthouse.audit.store import log as store
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, read

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_PROBLEMS = 100
_WIDTH, _BYTES = tiles.TILE_WIDTH, tree.HASH_BYTES
_PIECE = 2_000


def start(system: System) -> None:
    """Refuse to start on a log that is not the one this server signed last.

    Raises `audit.tampered`, `audit.log_smaller`, `audit.log_forked`, `audit.memory_missing`, `audit.lines_lost`, and
    on PostgreSQL `audit.cluster_changed` and `audit.fenced_off`.
    """
    remembered = growing.recall(system)
    with read(system) as unit:
        _recognise(system, unit.conn, remembered)
    clusters.start(system)
    problem = scanning.first_look(system)
    if problem:
        raise growing.tampered(problem)
    lost = missing.problems(system)
    if lost:
        raise Unavailable("audit.lines_lost", f"Lines of the log were lost: {lost[0].what}.", lanes.REMEDY)


def recognise(system: System, conn: Connection) -> None:
    """Refuse a log whose head is not the one this server signed last; raises what `start` does but for its rows.

    For a connection whose transaction nobody else sees, such as the one that migrates.
    """
    _recognise(system, conn, growing.recall(system))


def _recognise(system: System, conn: Connection, remembered: Remembered | None) -> None:
    head = store.read_head(conn) or growing.EMPTY_HEAD
    if head.size == 0 and store.count_entries(conn):
        raise growing.tampered("there are entries, but no signed head")
    growing.trusted_edge(system, conn, head)
    growing.judge_memory(system, conn, head.size, head.root, remembered)


def verify(system: System) -> Report:
    """Check every stored entry, tile and the head on one snapshot; report the first 100 problems by place."""
    problems: list[Problem] = []
    remembered = _recalled(system, problems)
    with read(system) as unit:
        problems.extend(Problem(-1, f"database: {one}") for one in system.database.foreign(unit.conn))
        head = store.read_head(unit.conn) or growing.EMPTY_HEAD
        if not any(one.what.startswith("signer memory") for one in problems):
            problems.extend(_memory_problems(unit, head, remembered))
        for found in _problems(unit, head):
            problems.append(found)
            if len(problems) == MAX_PROBLEMS:
                break
    problems.extend(clusters.problems(system))
    problems.extend(missing.problems(system))
    return Report(not problems, head.size, tuple(sorted(problems, key=lambda p: p.index)))


def _recalled(system: System, problems: list[Problem]) -> Remembered | None:
    try:
        return growing.recall(system)  # before the snapshot is opened: see there
    except WeighthouseError as error:
        problems.append(Problem(-1, f"signer memory: {error.message}"))
        return None


def _memory_problems(unit: Unit, head: store.HeadRow, remembered: Remembered | None) -> Iterator[Problem]:
    try:
        growing.judge_memory(unit.system, unit.conn, head.size, head.root, remembered)
    except WeighthouseError as error:
        yield Problem(-1, f"signer memory: {error.message}")


def _problems(unit: Unit, head: store.HeadRow) -> Iterator[Problem]:
    yield from _head_problems(unit, head)
    head = growing.believable(unit, head)
    yield from _tile_problems(unit.conn, head.size)
    yield from _entry_problems(unit.conn, head.size)
    yield from _personal_problems(unit, head.size)


def _head_problems(unit: Unit, head: store.HeadRow) -> Iterator[Problem]:
    if head.size or head.note:
        try:
            checkpoint = signing.open_own_checkpoint(unit.system, head.note)
            if (checkpoint.size, checkpoint.root) != (head.size, head.root):
                yield Problem(-1, "the head row is not what its signed checkpoint says")
            edge = tiles.edge_from_tiles(checkpoint.size, growing.tile_reader(unit.conn))
            if edge.root() != checkpoint.root:
                yield Problem(-1, f"checkpoint of size {checkpoint.size}: the tiles do not hash to its root")
        except (WeighthouseError, ValueError) as error:
            yield Problem(-1, f"checkpoint of size {head.size}: {error}")


def _tile_problems(conn: Connection, size: int) -> Iterator[Problem]:
    expected: set[tuple[int, int]] = set()
    above: dict[int, bytes] = {}
    for level in reversed(range(tiles.levels(size))):
        stored: dict[int, bytes] = {}
        for index, width in tiles.tile_widths(size, level):
            expected.add((level, index))
            tile = store.read_tile(conn, level, index)
            if level:  # what is below needs it; the lowest level is most of the log and is not kept
                stored[index] = tile
            first = index << (tiles.TILE_HEIGHT * (level + 1))
            name = tiles.tile_path(level, index, width)
            if len(tile) != width * _BYTES:
                yield Problem(first, f"{name} has {len(tile)} bytes where {width * _BYTES} belong")
            elif width == _WIDTH and tree.root_of(tiles.hashes_in(tile)) != _hash_at(above, index):
                yield Problem(first, f"{name} does not hash to its place in the tile above")
        above = stored
    for level, index in store.tile_places(conn):
        if (level, index) not in expected:
            yield Problem(-1, f"tile {level}/{index} belongs to no tree of {size} entries")


def _hash_at(level: dict[int, bytes], position: int) -> bytes:
    start = position % _WIDTH * _BYTES
    return level.get(position // _WIDTH, b"")[start : start + _BYTES]


def _entry_problems(conn: Connection, size: int) -> Iterator[Problem]:
    expected, tile, tile_index = 0, b"", -1
    for row in store.scan_entries(conn):
        if not 0 <= row.place < size:
            yield Problem(row.place, "the entry is outside the signed log")
            continue
        if row.place > expected:
            yield Problem(expected, f"entries {expected} to {row.place - 1} are missing")
        expected = row.place + 1
        if row.place // _WIDTH != tile_index:
            tile_index = row.place // _WIDTH
            tile = store.read_tile(conn, 0, tile_index)
        start = row.place % _WIDTH * _BYTES
        if tree.leaf_hash(row.leaf) != tile[start : start + _BYTES]:
            yield Problem(row.place, "the entry is not the one the tree holds")
        elif not columns_agree(row):
            yield Problem(row.place, "it is no entry, or the columns kind, subject or at are not what it says")
    if expected < size:
        yield Problem(expected, f"entries {expected} to {size - 1} are missing")


def _personal_problems(unit: Unit, size: int) -> Iterator[Problem]:
    """Entries whose personal values are gone though nobody was erased; none where the log itself cannot be read."""
    with contextlib.suppress(WeighthouseError):
        for start in range(0, size, _PIECE):
            rows = store.read_entries(unit.conn, start=start, end=min(size, start + _PIECE), limit=_PIECE)
            for place in personal.missing(unit, rows):
                yield Problem(place, personal.UNKEPT)
