"""What the registry itself tells of a run, and who pays for it. Guards the byte budgets from being gone around.

Whoever may see the catalogue reads how large each version is, how many there are, when they came and from which
parent; whoever sees the storage reads how long each object is; the run chooses all of that. So each step of a save
costs as many bytes as it could tell of what the run may say. A load costs them too, and has the model that is loaded
pay for the run from then on.
"""

from __future__ import annotations

import zlib

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.work import Unit
from weighthouse.egress import api as egress
from weighthouse.weights.api.classes import person_of, run_of
from weighthouse.weights.api.lineage import opened
from weighthouse.weights.api.sealing import open_version
from weighthouse.weights.events import TensorsShown
from weighthouse.weights.model import Save, Tensors, Version

BEGUN_BYTES = 16  # model and parent (a choice among all there are), number of shards, the moment
SEALED_BYTES = 24  # what a digest can be made to begin with (8), which save, the moment
LENGTH_BYTES = 8  # the length of one object, which whoever sees the storage reads; the run chose it
LOADED_BYTES = 8  # a choice among all versions, the moment
SHOWN_BYTES = 8  # that it is shown at all, and when
_SHOWN = audit.Lines(TensorsShown.KIND)


def origins(unit: Unit, version: str) -> frozenset[str]:
    """Return the models that a version is made of: its own, and those that the run that wrote it answers for.

    Else a model saved once as another of its class would have two budgets to leave by.
    """
    found = open_version(unit, version).version
    if not found.run:
        return frozenset({found.model})
    loaded = (model for _, model in opened(unit, found.run))  # also those of before a run's models were kept
    return frozenset({found.model, *egress.models_of(unit, found.run), *loaded})


def pay_save(unit: Unit, save: Save, count: int) -> None:
    """Charge a step of a run's save to all who pay for what the run says. Raises TooMany `egress.said_spent`."""
    if save.run:  # a person who saves from their own machine has the weights there
        egress.charge_step(unit, save.run, count, model=save.model, person=save.person)


def committed_bytes(shards: int) -> int:
    """What a commit of so many shards could tell, with their index, whose length says how its names are."""
    return SEALED_BYTES + LENGTH_BYTES * (shards + 1)


def pay_load(unit: Unit, caller: Caller, version: Version) -> None:
    """Have what a run is about to be given pay for it, and charge the load; nothing is released that this refuses.

    Raises TooMany `egress.payer_spent`, `egress.said_spent`.
    """
    run = run_of(caller)
    if run:
        ordered, person = caller.attributes.get("model", version.model), person_of(caller)
        egress.join(unit, run, origins(unit, version.id), ordered=ordered, person=person)
        pay_step(unit, caller, version)


def pay_step(unit: Unit, caller: Caller, version: Version) -> None:
    """Charge a run for a choice among versions, or among leases, that a line of the log tells of."""
    run, ordered = run_of(caller), caller.attributes.get("model", version.model)
    if run:
        egress.charge_step(unit, run, LOADED_BYTES, model=ordered, person=person_of(caller))


def told_bytes(shown: Tensors) -> int:
    """How much the names, shapes, types and texts of a version tell whoever reads them: their shortest known form.

    Different lists have different forms, so no run tells more by its choice of one; and what repeats itself, as the
    names of an honest model do, costs little.
    """
    said = {
        "items": [(row.name, row.dtype, list(row.shape)) for row in shown.items],
        "metadata": dict(shown.metadata),
    }
    return SHOWN_BYTES + len(zlib.compress(encode(said), 9))


def pay_shown(unit: Unit, caller: Caller, version: Version, shown: Tensors) -> None:
    """Have the run that wrote a version pay for what somebody outside of a run is shown of it, as for its output.

    It chose the names, and might have spelt weights in them. The first who looks is told all, so nobody pays later.
    A run that looks has paid as for a load.
    Raises TooMany `egress.said_spent`.
    """
    if version.run and not run_of(caller) and not _SHOWN.any(unit, version.id):
        count = told_bytes(shown)
        egress.charge_step(unit, version.run, count, model=version.model, person=person_of(caller))
        line = TensorsShown(
            version=version.id, model=version.model, run=version.run, person=person_of(caller), bytes=count
        )
        audit.append(unit, line)
