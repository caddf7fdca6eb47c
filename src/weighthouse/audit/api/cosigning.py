"""Which cosigned checkpoints are kept and shown. Guards evidence from being weaker than what was once gathered.

A later checkpoint with fewer cosignatures never takes the place of the newest one that made the operator's quorum.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.audit.ports import Witnesses
from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules.note import Note, Signature
from weighthouse.audit.store import log as store
from weighthouse.core.work import Unit


def keep(unit: Unit, size: int, note: Note, gathered: Sequence[Signature]) -> None:
    """Add cosignatures to the checkpoint of `size`; of the others keep the newest that made the quorum alone."""
    kept = dict(store.read_cosigned(unit.conn))
    base = notes.parse(kept[size].encode()) if size in kept else note
    kept[size] = str(base.with_signatures(gathered))
    store.keep_cosigned(unit.conn, size, kept[size], unit.now)
    made = unit.part(Witnesses).satisfied
    quorate = next((one for one in sorted(kept, reverse=True) if made(kept[one])), size)
    store.drop_cosigned(unit.conn, [one for one in kept if one != quorate and one < max(kept)])


def best(unit: Unit, least: int, most: int) -> tuple[int, str] | None:
    """Return (size, note) of the newest cosigned checkpoint of `least` to `most` entries that made the quorum.

    Without one that made it, the newest that any witness cosigned; None if there is none at all.
    """
    kept = [(size, note) for size, note in store.read_cosigned(unit.conn) if least <= size <= most]
    if len(kept) < 2:
        return kept[0] if kept else None
    made = unit.part(Witnesses).satisfied
    return next((one for one in kept if made(one[1])), kept[0])
