"""The one way the tree grows: check the head, append, sign, store, remember. Guards the log from its own database.

Before anything is signed, the stored head must carry the log's signature, the stored tiles must add up to it, and the
signer's memory outside the database must agree that this tree continues the last one signed.
"""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from weighthouse.audit.api import signing
from weighthouse.audit.events import LineNotKept
from weighthouse.audit.model import Leaf, Remembered
from weighthouse.audit.ports import SignerMemory
from weighthouse.audit.rules import memory as memories
from weighthouse.audit.rules import tiles, tree
from weighthouse.audit.store import log as store
from weighthouse.core import signing as codes
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, read

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger("weighthouse.audit")
EMPTY_HEAD = store.HeadRow(0, tree.EMPTY_ROOT, "", 0, 0, 0, 0, b"")
_EDGES_KEPT = 8
_OWN, _FROM = "audit.own-head", "audit.grown-from"
_edges: WeakKeyDictionary[Database, OrderedDict[tuple[int, bytes], tiles.Edge]] = WeakKeyDictionary()


def tampered(what: str) -> Unavailable:
    """Return the refusal to go on with a log whose stored parts do not fit together."""
    return Unavailable(
        "audit.tampered",
        f"The stored log does not fit its signed head: {what}.",
        "Restore the database from a good backup. Where a server still runs, `weighthouse audit export FOLDER` and "
        "then `weighthouse audit verify FOLDER` name the first entry that is wrong.",
    )


def not_kept(count: int) -> Unavailable:
    """The refusal of a change whose lines the database swallowed or changed."""
    return Unavailable(
        "audit.line_not_kept",
        "The database did not keep the line that this change must leave in the log, so there was no change.",
        "Look for triggers and rules on the tables of the log, which are never ours, and find out who made them.",
        record=[LineNotKept(lines=count)],
    )


def tile_reader(conn: Connection) -> tiles.TileReader:
    """Return a reader of stored tiles that asks the database once for each."""
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        if (level, index) not in kept:
            kept[level, index] = store.read_tile(conn, level, index)
        return kept[level, index]

    return read


def _keep(database: Database, edge: tiles.Edge, root: bytes) -> None:
    # Kept before commit: a rolled-back edge is harmless, for an edge is used only if the stored head equals its key.
    kept = _edges.setdefault(database, OrderedDict())
    kept[edge.size, root] = edge
    while len(kept) > _EDGES_KEPT:
        try:
            kept.popitem(last=False)
        except KeyError:  # another thread was faster
            break


def trusted_edge(system: System, conn: Connection, head: store.HeadRow) -> tiles.Edge:
    """Return the edge of the stored head after checking signature and tiles; raise `audit.tampered` otherwise.

    An edge that this process already checked, or made itself, is found again by size and root.
    """
    kept = _edges.get(system.database, OrderedDict()).get((head.size, head.root))
    if kept is not None:
        return kept
    if head == EMPTY_HEAD:
        return tiles.Edge()
    try:
        checkpoint = signing.open_own_checkpoint(system, head.note)
        if (checkpoint.size, checkpoint.root) != (head.size, head.root):
            raise tampered("the head row is not what its checkpoint says")
        edge = tiles.edge_from_tiles(head.size, tile_reader(conn))
    except ValueError as error:
        raise tampered(str(error)) from None
    except WeighthouseError as error:
        raise tampered(error.message) if error.code != "audit.tampered" else error from None
    if edge.root() != head.root:
        raise tampered("the tiles at the right edge do not hash to the signed root")
    _keep(system.database, edge, head.root)
    return edge


def believable(unit: Unit, head: store.HeadRow) -> store.HeadRow:
    """Return the head with the size that its checkpoint signs: the row beside it may claim any, even one below 0.

    Where no signature holds, it is cut to the entries that are there, so that whoever walks the log comes to an end.
    """
    try:
        checkpoint = signing.open_own_checkpoint(unit.system, head.note)
    except WeighthouseError:
        return head._replace(size=min(max(head.size, 0), store.count_entries(unit.conn)))
    return head._replace(size=checkpoint.size, root=checkpoint.root)


def recall(system: System) -> Remembered | None:
    """Return what this signer signed last; raise `audit.memory_unusable` if nobody can say.

    Whoever judges a snapshot recalls first and opens the snapshot afterwards: another process may sign between the
    two, and a memory younger than the snapshot would look like a log that shrank. Under the head's lock, the order
    does not matter.
    """
    try:
        return system.part(SignerMemory).recall(signing.origin_of(system))
    except OSError as error:
        raise _unusable(error) from error


def begin(system: System) -> None:
    """Begin the memory of a log that has no entry yet, for `init` alone; whatever is there already stays.

    Done before the first entry, for a process killed right after its first commit must find a memory. Anywhere else
    a missing memory is a lost one, and the log is refused.
    """
    if recall(system) is not None:
        return
    with read(system) as unit:
        if store.read_head(unit.conn) is not None or store.count_entries(unit.conn):
            return
    try:
        system.part(SignerMemory).remember(signing.origin_of(system), Remembered(0, tree.EMPTY_ROOT))
    except OSError as error:
        raise _unusable(error) from error


def judge_memory(system: System, conn: Connection, size: int, root: bytes, remembered: Remembered | None) -> None:
    """Raise unless the stored tree continues the `remembered` one, the last that this signer signed."""
    if remembered is not None and (remembered.size, remembered.root) == (size, root):
        return
    node = tiles.node_from_tiles(tile_reader(conn))
    try:
        memories.judge(remembered, size, root, lambda count: tree.range_root(0, count, node))
    except ValueError as error:
        raise tampered(str(error)) from None


def grown_from(unit: Unit) -> int | None:
    """Return the size of the log before this unit extended it, which may yet be rolled back; None if it has not."""
    size: int | None = unit.memo.get(_FROM)
    return size


def judge_snapshot(unit: Unit, head: store.HeadRow) -> None:
    """Raise unless the head that a reader saw continues what this signer signed last: no door shows a log set back.

    The snapshot may be older than a head that was signed meanwhile; then the newest one is judged.
    """
    if unit.memo.get(_OWN) == (head.size, head.root) or head == EMPTY_HEAD:
        return
    remembered = recall(unit.system)
    if remembered is not None and remembered.size > head.size:
        remembered = recall(unit.system)
        with read(unit.system) as fresh:
            newest = store.read_head(fresh.conn) or EMPTY_HEAD
            judge_memory(unit.system, fresh.conn, newest.size, newest.root, remembered)
        return
    judge_memory(unit.system, unit.conn, head.size, head.root, remembered)
    if remembered is not None and remembered.size < head.size:
        with contextlib.suppress(OSError, WeighthouseError):  # what other servers have signed; the next signing tells
            unit.system.part(SignerMemory).remember(signing.origin_of(unit.system), Remembered(head.size, head.root))


def _unusable(error: OSError) -> Unavailable:
    return Unavailable(
        "audit.memory_unusable",
        f"The signer's memory outside the database cannot be used ({error}), so nothing is signed.",
        "Make its folder readable and writable for the server, with free space.",
    )


def extend(
    unit: Unit,
    leaves: Sequence[tuple[Leaf, bytes]],
    *,
    fencing: int = 0,
    floor: int | None = None,
    accept_fork: bool = False,
    lanes: str | None = None,
) -> None:
    """Append `leaves` to the tree in this transaction, with one signed checkpoint for all of them.

    `floor` is the outbox number below which nothing waits any more (PostgreSQL). `accept_fork` belongs to the fork
    ceremony alone: it passes the signer's memory over and replaces it.
    """
    system, conn = unit.system, unit.conn
    head = store.read_head(conn, lock=True) or EMPTY_HEAD
    if fencing < head.fencing and not accept_fork:
        raise Unavailable(
            "audit.fenced_off",
            "Another server has taken over the sequencing of the log; this one may no longer write to it.",
            "None is needed: the new sequencer goes on where this one stopped.",
        )
    edge = trusted_edge(system, conn, head)
    if not accept_fork and unit.memo.get(_OWN) != (head.size, head.root):
        judge_memory(system, conn, head.size, head.root, recall(system))
    growth = tiles.grow(edge, [tree.leaf_hash(data) for _, data in leaves])
    size, root = growth.edge.size, growth.edge.root()
    bound = head.floor if floor is None else floor
    epoch = head.epoch + accept_fork
    reached = head.lanes if lanes is None else lanes
    seal = signing.seal_head(system, size, root, bound, epoch, reached) if fencing else b""
    note = signing.sign_checkpoint(system, size, root, unit.now)
    written = store.HeadRow(size, root, note, unit.now, fencing, bound, epoch, seal, reached)
    store.write_entries(conn, head.size, leaves)
    store.write_tiles(conn, growth.tiles)
    store.write_head(conn, written)
    if store.leaves(conn, head.size) != [data for _, data in leaves] or store.read_head(conn) != written:
        raise not_kept(len(leaves))
    _keep(system.database, growth.edge, root)
    unit.memo.setdefault(_FROM, head.size)
    unit.memo[_OWN] = (size, root)  # a second growth in this transaction continues what memory cannot know yet
    unit.after_commit(lambda: _remember(system, Remembered(size, root), replace=accept_fork))


def _remember(system: System, signed: Remembered, *, replace: bool) -> None:
    memory, origin = system.part(SignerMemory), signing.origin_of(system)
    try:
        if replace:
            memory.replace(origin, signed)
        else:
            memory.remember(origin, signed)
    except (OSError, WeighthouseError) as error:
        # The change is committed and must be acknowledged. A memory that lags is caught up by the next checkpoint,
        # which first proves that its tree continues the remembered one.
        logger.error("The signer's memory could not be written (%s): until it can, a rollback may go unseen.", error)


def check_seal(system: System, head: store.HeadRow) -> None:
    """Raise `audit.tampered` unless the stored floor of the outbox is the one this software wrote."""
    seal = signing.seal_head(system, head.size, head.root, head.floor, head.epoch, head.lanes)
    if head.size and not codes.equal(head.seal, seal):
        raise tampered("the floor of the outbox was changed")
