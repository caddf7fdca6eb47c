"""What the log says of an end, of a version or of a whole model: ordered, undone, over. Guards both from rows that
tell another story.

An order to destroy is open from its line until the line that undoes it or the one that says it is over. The row's
state is for showing, and for the moment in which the log of PostgreSQL does not tell yet; where row and log differ,
whichever of them refuses is believed.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.errors import Conflict
from weighthouse.core.work import Unit
from weighthouse.keys import api as keys
from weighthouse.weights.api import sealing
from weighthouse.weights.events import (
    CheckpointDestroyed,
    DestructionOrdered,
    DestructionUndone,
    ModelDestructionOrdered,
    ModelDestructionUndone,
)
from weighthouse.weights.model import DESTROYED, DOOMED, ModelOrder, Version

_OVER = audit.Lines(CheckpointDestroyed.KIND)


class Orders:
    """The orders of one kind, by the subject that each is on; `over` says whether what one is on has ended."""

    def __init__(self, ordered: str, undone: str, over: Callable[[Unit, audit.Entry], bool]) -> None:
        self._on, self._every = audit.Lines(ordered), audit.Lines(ordered, by="")
        self._undone = audit.Lines(undone, by="order")
        self._over = over

    def open_on(self, unit: Unit, subject: str) -> audit.Entry | None:
        """The order that is neither undone nor carried out, if there is one."""
        line = self.newest(unit, subject)
        return line if line is not None and not self._settled(unit, line) else None

    def newest(self, unit: Unit, subject: str) -> audit.Entry | None:
        """The last order on a subject, whatever became of it."""
        return self._on.newest(unit, subject)

    def open(self, unit: Unit) -> list[audit.Entry]:
        """Every open order, the oldest first."""
        return [line for line in self._every.of(unit) if not self._settled(unit, line)]

    def was_used(self, unit: Unit, subject: str, grant: str) -> bool:
        """Whether a grant was used for an order already: what was undone is approved anew, or not at all."""
        return any(line.data["grant"] == grant for line in self._on.of(unit, subject))

    def is_undone(self, unit: Unit, order: str) -> bool:
        """Whether an order is over and nothing came of it."""
        return self._undone.any(unit, order)

    def _settled(self, unit: Unit, line: audit.Entry) -> bool:
        return self.is_undone(unit, str(line.data["order"])) or self._over(unit, line)


def _version_over(unit: Unit, order: audit.Entry) -> bool:
    said = order.data
    return _OVER.any(unit, str(said["version"])) or keys.is_destroyed(unit, str(said["model"]))


def _model_over(unit: Unit, order: audit.Entry) -> bool:
    return keys.is_destroyed(unit, str(order.data["model"]))


VERSIONS = Orders(DestructionOrdered.KIND, DestructionUndone.KIND, _version_over)
MODELS = Orders(ModelDestructionOrdered.KIND, ModelDestructionUndone.KIND, _model_over)


def check_lives(unit: Unit, version: Version) -> None:
    """Refuse what nothing may be opened of any more: Conflict `weights.destroyed`, `weights.being_destroyed`,
    `weights.model_being_destroyed`."""
    if is_over(unit, version):
        raise gone()
    if version.state == DOOMED or VERSIONS.open_on(unit, version.id) is not None:
        raise Conflict(
            "weights.being_destroyed",
            "This version is being destroyed, and nothing of it is opened until that is undone.",
            "Who ordered it, who approved it, or whoever may destroy it undoes it: "
            f"`weighthouse weights undestroy {version.id} --reason WHY`.",
        )
    check_model(unit, version.model)


def is_over(unit: Unit, version: Version) -> bool:
    """Whether a version is destroyed, alone or with its model. Row and keys put back from an old backup do not bring
    it back: the log remembers its end."""
    return version.state == DESTROYED or _OVER.any(unit, version.id) or is_model_over(unit, version.model)


def gone() -> Conflict:
    return Conflict(
        "weights.destroyed",
        "The keys of this version were destroyed on purpose; its ciphertext can never be opened again.",
        "Load another version.",
    )


def check_model(unit: Unit, model: str) -> None:
    """Refuse a model that nothing may be done with any more: Conflict `weights.model_destroyed`,
    `weights.model_being_destroyed`."""
    if is_model_over(unit, model):
        raise model_gone(model)
    if MODELS.open_on(unit, model) is not None or row_of(unit, model) is not None:
        raise Conflict(
            "weights.model_being_destroyed",
            f"The key of '{model}' is being destroyed: nothing of it is opened, saved or run until that is undone.",
            "Who ordered it, who approved it, or whoever may destroy it undoes it: "
            f"`weighthouse weights undestroy-model {model} --reason WHY`.",
        )


def is_model_over(unit: Unit, model: str) -> bool:
    """Whether the key of a model is destroyed; that its row was put back changes nothing."""
    if keys.is_destroyed(unit, model):
        return True
    row = row_of(unit, model)
    return row is not None and row.state == DESTROYED


def model_gone(model: str) -> Conflict:
    return Conflict(
        "weights.model_destroyed",
        f"The key of '{model}' was destroyed on purpose, with all its versions; the name is not used again.",
        "Add a model of another name to the lab configuration; what lies here can never be opened again.",
    )


def row_of(unit: Unit, model: str) -> ModelOrder | None:
    """The row of an order on a model, unless the log says that this order was undone: one put back stops nothing.

    Raises Denied `weights.row_seal`.
    """
    row = sealing.open_order(unit, model)
    return None if row is None or MODELS.is_undone(unit, row.order) else row


def shown(unit: Unit, version: Version) -> Version:
    """A version as a reader is shown it: one whose model's key is destroyed is destroyed."""
    over = version.state != DESTROYED and is_model_over(unit, version.model)
    return msgspec.structs.replace(version, state=DESTROYED) if over else version
