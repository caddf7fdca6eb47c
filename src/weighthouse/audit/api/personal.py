"""Personal values beside the log: showing what is kept, and destroying it. Guards people from being kept for ever.

The leaf holds only a salted commitment. Once value and salt are gone it says nothing about the person, and because
the leaf itself never changes, every proof made before or after stays valid.
"""

from __future__ import annotations

from typing import Any

from weighthouse.audit.api.appending import append
from weighthouse.audit.events import PersonErased
from weighthouse.audit.model import Entry
from weighthouse.audit.rules import leaf as leaves
from weighthouse.audit.store import readers
from weighthouse.core.work import Unit


def reveal(unit: Unit, entry: Entry) -> dict[str, Any]:
    """Return the data of `entry` with its personal values in the clear where they are still kept.

    An erased value reads `{"erased": True}`. Raises `audit.personal_altered` if the kept value is not the one that
    the log committed to.
    """
    committed = leaves.commitments_in(entry.data)
    kept = readers.find_personal(unit.conn, committed.values()) if committed else {}
    shown = dict(entry.data)
    for name, commitment in committed.items():
        value = kept.get(commitment)
        shown[name] = (
            {"erased": True} if value is None else leaves.open_commitment(commitment, value.salt, value.clear)
        )
    return shown


def erase(unit: Unit, subject_person: str) -> int:
    """Destroy the clear personal values and salts of one person; append the fact; return how many values went.

    A person's values are those of events whose `person` or `principal` they are, or that they caused themselves.
    """
    gone = readers.forget_personal(unit.conn, subject_person)
    append(unit, PersonErased(person=subject_person, values=gone))
    return gone
