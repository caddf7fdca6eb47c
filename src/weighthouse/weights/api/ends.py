"""What the log says of a version's end: ordered, undone, over. Guards versions from rows that tell another story.

An order to destroy is open from its line until the line that undoes it or the one that says it is over. The row's
state is for showing; where row and log differ, whichever of them refuses is believed.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core.errors import Conflict
from weighthouse.core.work import Unit
from weighthouse.weights.events import CheckpointDestroyed, DestructionOrdered, DestructionUndone
from weighthouse.weights.model import DESTROYED, DOOMED, Version

_OVER = audit.Lines(CheckpointDestroyed.KIND)
_ORDERED = audit.Lines(DestructionOrdered.KIND)
_EVERY = audit.Lines(DestructionOrdered.KIND, by="")
_UNDONE = audit.Lines(DestructionUndone.KIND, by="order")


def check_lives(unit: Unit, version: Version) -> None:
    """Refuse what nothing may be opened of any more: Conflict `weights.destroyed`, `weights.being_destroyed`."""
    if is_over(unit, version):
        raise gone()
    if version.state == DOOMED or open_order(unit, version.id) is not None:
        raise Conflict(
            "weights.being_destroyed",
            "This version is being destroyed, and nothing of it is opened until that is undone.",
            "Who ordered it, who approved it, or whoever may destroy it undoes it: "
            f"`weighthouse weights undestroy {version.id} --reason WHY`.",
        )


def is_over(unit: Unit, version: Version) -> bool:
    """Whether a version is destroyed. Row and keys put back from an old backup do not bring it back: the log
    remembers its end."""
    return version.state == DESTROYED or _OVER.any(unit, version.id)


def gone() -> Conflict:
    return Conflict(
        "weights.destroyed",
        "The keys of this version were destroyed on purpose; its ciphertext can never be opened again.",
        "Load another version.",
    )


def open_order(unit: Unit, version: str) -> audit.Entry | None:
    """The order to destroy a version that is neither undone nor carried out, if there is one."""
    line = _ORDERED.newest(unit, version)
    return line if line is not None and not _settled(unit, line) else None


def open_orders(unit: Unit) -> list[audit.Entry]:
    """Every open order, the oldest first."""
    return [line for line in _EVERY.of(unit) if not _settled(unit, line)]


def was_used(unit: Unit, version: str, grant: str) -> bool:
    """Whether a grant was used for an order already: what was undone is approved anew, or not at all."""
    return any(line.data["grant"] == grant for line in _ORDERED.of(unit, version))


def _settled(unit: Unit, order: audit.Entry) -> bool:
    return _UNDONE.any(unit, str(order.data["order"])) or _OVER.any(unit, str(order.data["version"]))
