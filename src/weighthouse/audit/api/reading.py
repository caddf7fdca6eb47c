"""Reading entries that were checked against the signed head. Guards readers from rows that are not in the tree.

A row that a database administrator inserted or edited is not shown and not acted on: each entry that leaves here
hashes to its tile, and the tile to the signed root.
"""

from __future__ import annotations

from typing import Any

import msgspec

from weighthouse.audit.api import growing
from weighthouse.audit.model import Entry, Head
from weighthouse.audit.rules import tiles, tree
from weighthouse.audit.store import log as store
from weighthouse.core.errors import NotFound
from weighthouse.core.work import Unit

_WIDTH, _BYTES = tiles.TILE_WIDTH, tree.HASH_BYTES


class TrustedLog:
    """The log as of one signed head: hands out tiles and entries that provably belong to it, and nothing else."""

    def __init__(self, unit: Unit) -> None:
        self._conn = unit.conn
        self.head = store.read_head(unit.conn) or growing.EMPTY_HEAD
        self.edge = growing.trusted_edge(unit.system, unit.conn, self.head)
        growing.judge_snapshot(unit, self.head)
        self._tiles: dict[tuple[int, int], bytes] = {}

    def tile(self, level: int, index: int) -> bytes:
        """Return a tile after following it up to the signed root; raise `audit.tampered` if it leads elsewhere."""
        kept = self._tiles.get((level, index))
        if kept is not None:
            return kept
        full, width = divmod(self.head.size >> (tiles.TILE_HEIGHT * level), _WIDTH)
        if index > full or (index == full and not width):
            raise growing.tampered(f"tile {tiles.tile_path(level, index)} is beyond the end of the log")
        if index == full:
            found = self.edge.tails[level]  # checked with the head: the edge hashes to the signed root
        else:
            found = store.read_tile(self._conn, level, index)
            start = index % _WIDTH * _BYTES
            stated = self.tile(level + 1, index // _WIDTH)[start : start + _BYTES]
            if len(found) != tiles.TILE_BYTES or tree.root_of(tiles.hashes_in(found)) != stated:
                raise growing.tampered(f"tile {tiles.tile_path(level, index)} does not hash to the tile above it")
        self._tiles[level, index] = found
        return found

    def check(self, row: store.EntryRow) -> None:
        """Raise `audit.tampered` with its index unless the tree holds this row's leaf."""
        start = row.place % _WIDTH * _BYTES
        stated = self.tile(0, row.place // _WIDTH)[start : start + _BYTES]
        if tree.leaf_hash(row.leaf) != stated:
            raise growing.tampered(f"entry {row.place} is not the one the tree holds")

    def entry(self, row: store.EntryRow) -> Entry:
        """Return the entry of a stored row; raise `audit.tampered` with its index if the tree holds another one."""
        self.check(row)
        return entry_of(row.place, row.leaf)


def columns_agree(row: store.EntryRow) -> bool:
    """Whether the columns by which lists find a row are what its leaf says."""
    try:
        said = msgspec.json.decode(row.leaf)
        return bool((said["at"], said["kind"], said["subject"]) == (row.at, row.kind, row.subject))
    except (msgspec.DecodeError, KeyError, TypeError):  # a leaf that fits an edited tile need not even be one
        return False


def entry_of(index: int, leaf: bytes) -> Entry:
    """Read an entry out of leaf bytes that were checked before."""
    said: dict[str, Any] = msgspec.json.decode(leaf)
    return Entry(
        index=index,
        at=said["at"],
        kind=said["kind"],
        actor=said["actor"],
        subject=said["subject"],
        request=said["request"],
        data=said["data"],
        leaf=leaf,
    )


def entries(
    unit: Unit,
    *,
    start: int = 0,
    end: int | None = None,
    limit: int = 100,
    kind: str | None = None,
    subject: str | None = None,
    newest_first: bool = False,
) -> list[Entry]:
    """Return up to `limit` entries from index `start` on and below `end`, oldest first, or the newest of those.

    A selection by kind or subject is for showing: an edited column can hide an entry from it, though not put one into
    it. What a decision looks for, it finds through `Lines`.

    On PostgreSQL an entry appears once the sequencer has taken it, usually within 50 ms of its commit.
    Raises `audit.tampered` naming the first entry that is not the one the tree holds.
    """
    log = TrustedLog(unit)
    rows = store.read_entries(
        unit.conn,
        start=start,
        end=log.head.size if end is None else min(end, log.head.size),
        limit=limit,
        kind=kind,
        subject=subject,
        newest_first=newest_first,
    )
    if kind is None and subject is None:
        _gapless([row.place for row in rows], start, log.head.size, limit, newest_first=newest_first)
        return [log.entry(row) for row in rows]
    return [_named(log, row) for row in rows]


def _named(log: TrustedLog, row: store.EntryRow) -> Entry:
    found = log.entry(row)
    if not columns_agree(row):
        raise growing.tampered(f"the columns of entry {row.place} are not what it says")
    return found


def _gapless(places: list[int], start: int, size: int, limit: int, *, newest_first: bool) -> None:
    """Raise `audit.tampered` unless a list of all kinds shows every index of its range."""
    count = max(0, min(limit, size - start))
    expected = list(range(size - 1, size - 1 - count, -1)) if newest_first else list(range(start, start + count))
    if places != expected:
        gone = next(iter(sorted(set(expected) - set(places))), start)
        raise growing.tampered(f"entry {gone} is missing")


def entry(unit: Unit, index: int) -> Entry:
    """Return one entry; raise `audit.no_entry` if the log has none at `index`."""
    found = entries(unit, start=index, limit=1) if index >= 0 else []
    if not found:
        raise no_entry(index)
    if found[0].index != index:
        raise growing.tampered(f"entry {index} is missing")
    return found[0]


def no_entry(index: int) -> NotFound:
    """Return the refusal for an index the log does not reach."""
    return NotFound(
        "audit.no_entry",
        f"The log has no entry {index}.",
        "Indexes begin at 0; `weighthouse audit head` says the size.",
    )


def head(unit: Unit) -> Head:
    """Return where the log stands, after checking the head's signature and its tiles."""
    log = TrustedLog(unit)
    return Head(log.head.size, log.head.root.hex(), log.head.note or None, log.head.at)
