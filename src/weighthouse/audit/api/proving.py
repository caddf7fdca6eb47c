"""Proofs and exports for people who do not trust this server. Guards evidence from needing its maker to be alive.

Everything that leaves here is plain text or plain files in C2SP formats, and is checked by other programs.
"""

from __future__ import annotations

from pathlib import Path

from weighthouse.audit.api import cosigning, growing, signing
from weighthouse.audit.api.reading import TrustedLog, entry, no_entry
from weighthouse.audit.model import ExportReport
from weighthouse.audit.rules import tiles, tree
from weighthouse.audit.rules.proof import Proof, format_proof
from weighthouse.audit.store import log as store
from weighthouse.core.errors import Conflict
from weighthouse.core.work import System, Unit

CHECKPOINT, COSIGNED, KEYS = "checkpoint", "checkpoint.cosigned", "log.vkey"


def keys(system: System) -> tuple[str, ...]:
    """Return the verifier keys of the log, one line each, for auditors and witnesses."""
    return tuple(key.public.text() for key in signing.log_keys(system))


def key(system: System) -> str:
    """Return the one verifier key that every log has, which names it."""
    return signing.log_name(system).text()


def state(system: System, kind: str, body: str) -> str:
    """Return `body`, one line of text, as a note that this log's key has signed, for whoever knows that key alone."""
    return signing.sign_statement(system, kind, body)


def prove(unit: Unit, index: int) -> str:
    """Return the proof (C2SP tlog-proof text) that the entry at `index` is in the log.

    It leads to the newest checkpoint that made the witnesses' quorum if that one covers the entry, else to the newest
    that any of them cosigned, else to the log's own.
    Raises `audit.no_entry`, or `audit.tampered` when what is stored does not lead to a signed root.
    """
    log = TrustedLog(unit)
    if not 0 <= index < log.head.size:
        raise no_entry(index)
    leaf = tree.leaf_hash(entry(unit, index).leaf)
    note = log.head.note
    cosigned = cosigning.best(unit, index + 1, log.head.size)
    if cosigned is not None:
        note = cosigned[1]
    target = signing.open_own_checkpoint(unit.system, note)
    path = tree.inclusion_proof(index, target.size, tiles.node_from_tiles(log.tile))
    if not tree.verify_inclusion(index, target.size, leaf, path, target.root):
        raise growing.tampered(f"the proof of entry {index} does not lead to the checkpoint of size {target.size}")
    return format_proof(Proof(index, tuple(path), note))


def consistency(unit: Unit, old: int, new: int) -> list[bytes]:
    """Return the hashes that prove that the first `new` entries begin with the first `old` ones.

    Raises `audit.bad_range` unless 0 <= old <= new <= the size of the log.
    """
    log = TrustedLog(unit)
    if not 0 <= old <= new <= log.head.size:
        raise Conflict(
            "audit.bad_range",
            f"The log has {log.head.size} entries; there is no proof from {old} to {new}.",
            "Ask for two sizes the log has reached, the smaller one first.",
        )
    return tree.consistency_proof(old, new, tiles.node_from_tiles(log.tile))


def export(unit: Unit, folder: Path) -> ExportReport:
    """Write the log as plain files (C2SP tlog-tiles) below `folder`, as it is stored, right or wrong.

    Nothing is checked on the way out: that is the work of `weighthouse-verify`, which trusts no one. Raises
    `audit.folder_in_use` if the folder holds anything that is not an earlier export.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / KEYS).exists():
        raise Conflict(
            "audit.folder_in_use",
            f"The folder {folder} holds other files.",
            "Give an empty folder, or one that holds an earlier export of this log.",
        )
    head = growing.believable(unit, store.read_head(unit.conn) or growing.EMPTY_HEAD)
    sink = _Sink(folder)
    for index, width in tiles.tile_widths(head.size, 0):
        first = index * tiles.TILE_WIDTH
        rows = store.read_entries(unit.conn, start=first, end=first + width, limit=width)
        for row in rows:
            if len(row.leaf) > tiles.MAX_ENTRY_BYTES:
                raise growing.tampered(f"entry {row.place} has {len(row.leaf)} bytes, more than any entry may have")
        sink.write(tiles.entries_path(index, width), tiles.pack_bundle(row.leaf for row in rows))
    for level in range(tiles.levels(head.size)):
        for index, width in tiles.tile_widths(head.size, level):
            sink.write(tiles.tile_path(level, index, width), store.read_tile(unit.conn, level, index))
    verifiers = keys(unit.system)
    sink.write(KEYS, "".join(key + "\n" for key in verifiers).encode())
    cosigned = cosigning.best(unit, 0, head.size)
    if cosigned is not None:
        sink.write(COSIGNED, cosigned[1].encode())
    if head.note:
        sink.write(CHECKPOINT, head.note.encode())
    else:
        empty = signing.sign_checkpoint(unit.system, 0, tree.EMPTY_ROOT, unit.now)
        sink.write(CHECKPOINT, empty.encode())
    return ExportReport(head.size, sink.files, sink.bytes, verifiers)


class _Sink:
    """Writes files below one folder and counts them; the checkpoint comes last, when all it vouches for is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()
        self.files = self.bytes = 0

    def write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        if name == CHECKPOINT:  # whoever reads an older export here meanwhile sees the old one or the new one, whole
            path.with_suffix(".new").write_bytes(data)
            path.with_suffix(".new").replace(path)
        else:
            path.write_bytes(data)
        self.files += 1
        self.bytes += len(data)
