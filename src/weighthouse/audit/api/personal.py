"""Personal values beside the log: showing what is kept, and destroying it. Guards people from being kept for ever.

The leaf holds only a salted commitment. Once value and salt are gone it says nothing about the person, and because
the leaf itself never changes, every proof made before or after stays valid.

Attack: delete the row of a reason or a note, and it reads as if its person had been erased. So erased is what the log
says was erased, by a line after the entry; a value that is gone without one is missing, and is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from weighthouse.audit.api import clusters, growing
from weighthouse.audit.api.appending import append
from weighthouse.audit.api.finding import Lines
from weighthouse.audit.api.reading import entry_of
from weighthouse.audit.events import PersonErased
from weighthouse.audit.model import Entry
from weighthouse.audit.rules import leaf as leaves
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox, readers
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.work import Unit

_ERASED = Lines(PersonErased.KIND)
_MARK = b'"commitment"'
UNKEPT = "a personal value of the entry is gone, and no line says that its person was erased"
_Erasure = tuple[int, Millis]  # after which index, and when


def reveal(unit: Unit, entry: Entry) -> dict[str, Any]:
    """Return the data of `entry` with its personal values in the clear where they are still kept.

    An erased value reads `{"erased": True}`, one that is gone without a line `{"missing": True}`. Raises
    `audit.personal_altered` if the kept value is not the one that the log committed to.
    """
    committed = leaves.commitments_in(entry.data)
    kept = readers.find_personal(unit.conn, committed.values()) if committed else {}
    shown = dict(entry.data)
    gone: dict[str, bool] = {}
    for name, commitment in committed.items():
        value = kept.get(commitment)
        if value is None and not gone:
            gone = {"erased": True} if _erased(unit, entry, {}) else {"missing": True}
        shown[name] = dict(gone) if value is None else leaves.open_commitment(commitment, value.salt, value.clear)
    return shown


def erase(unit: Unit, subject_person: str) -> int:
    """Destroy the clear personal values and salts of one person; append the fact; return how many values went.

    A person's values are those of events whose `person` or `principal` they are, or that they caused themselves.
    """
    gone = readers.forget_personal(unit.conn, subject_person)
    append(unit, PersonErased(person=subject_person, values=gone))
    return gone


def missing(unit: Unit, rows: Iterable[store.EntryRow]) -> list[int]:
    """Return which of these entries, all checked before, lack a personal value that no line says was erased."""
    entries = [entry_of(row.place, row.leaf) for row in rows if _MARK in row.leaf]
    committed = {one.index: set(leaves.commitments_in(one.data).values()) for one in entries}
    kept = readers.find_personal(unit.conn, {one for found in committed.values() for one in found})
    known: dict[str, list[_Erasure]] = {}
    return [one.index for one in entries if not committed[one.index] <= kept.keys() and not _erased(unit, one, known)]


def _erased(unit: Unit, entry: Entry, known: dict[str, list[_Erasure]]) -> bool:
    """Whether a line says that the values of an entry's owner were destroyed after it."""
    owner = leaves.owner_of(entry.data, entry.actor)
    if owner not in known:
        known[owner] = _logged(unit, owner)
    if not _covers(known[owner], entry):  # what has left the outbox since it was asked is in the log
        known[owner] = _waiting(unit, owner) + _logged(unit, owner)
    return _covers(known[owner], entry)


def _covers(erasures: list[_Erasure], entry: Entry) -> bool:
    return any(index > entry.index or at >= entry.at for index, at in erasures)


def _logged(unit: Unit, owner: str) -> list[_Erasure]:
    line = _ERASED.newest(unit, owner)
    return [(line.index, line.at)] if line is not None else []


def _waiting(unit: Unit, owner: str) -> list[_Erasure]:
    """PostgreSQL: erasures that are committed and wait for the sequencer."""
    if unit.system.database.dialect != "postgresql":
        return []
    head, found = store.read_head(unit.conn) or growing.EMPTY_HEAD, []
    for row in outbox.everything(unit.conn):
        if PersonErased.KIND.encode() not in row.leaf:
            continue
        try:
            said = leaves.parse(row.leaf)
        except Invalid:
            continue
        if (said.kind, said.subject) == (PersonErased.KIND, owner) and clusters.genuine(unit, row, head):
            found.append((head.size, said.at))
    return found
