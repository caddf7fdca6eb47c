"""What a version holds: names, shapes, types, the producer's texts. Guards an architecture, and a way out by names.

The encrypted index is opened in this process, with its own data key alone, after a decision of its own: whoever may
load inside a run may ask for this outside of one, since no key and no tensor leaves. Names and texts are the choice
of the run that wrote them, so they can carry weights: that run pays for what they tell, as for its output, the day's
read budget for the index, and the log has a line, as for any load. What no reader would see is marked.

Attack: load a model in a run and save empty tensors whose names are its weights, then list them on a laptop.
"""

from __future__ import annotations

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Invalid
from weighthouse.core.ids import check_id
from weighthouse.core.work import Unit
from weighthouse.weights.api.budgets import charge
from weighthouse.weights.api.classes import class_of, person_of, run_of
from weighthouse.weights.api.loading import unwrap, wrapped_keys
from weighthouse.weights.api.sealing import Sealed, open_version, tampered
from weighthouse.weights.api.telling import pay_shown
from weighthouse.weights.events import LoadStarted
from weighthouse.weights.model import TensorRow, Tensors, Version
from weighthouse.weights.ports import ObjectStore
from weighthouse.weights.rules.paths import shard_path
from weighthouse_sdk import checkpoint
from weighthouse_sdk.errors import SdkError

MAX_LISTED = 8 << 20


def describe(unit: Unit, caller: Caller, version: str) -> Tensors:
    """List the tensors of a version for whoever may load it.

    Raises Denied, NotFound `weights.no_version`, Conflict `weights.destroyed`, TooMany `weights.read_budget` or
    `egress.said_spent`, Invalid `weights.index_large`, Denied `weights.index`.
    """
    sealed = open_version(unit, check_id(version, "ver"))
    found, index = sealed.version, sealed.listed.shards[-1]
    access.require(unit, caller, "weights.describe", found.model, version=found.id)
    listed = wrapped_keys(unit, sealed)
    if index.ciphertext > MAX_LISTED:
        why = f"The index has {index.ciphertext} bytes; at most {MAX_LISTED} are shown here."
        raise Invalid("weights.index_large", why, "Use `Workload.describe` inside a run.")
    shown = msgspec.structs.replace(found, bytes=index.ciphertext)
    spent = charge(unit, caller, shown, class_of(unit, found.model).read_budget_bytes)
    recipient = checkpoint.Recipient()
    operation = {"version": found.id}
    (key,) = unwrap(
        unit, caller, sealed, listed[-1:], recipient.public, action="weights.describe", operation=operation
    )
    told = _listed(_open(unit, sealed, recipient, key.sealed), found)
    pay_shown(unit, caller, found, told)
    audit.append(
        unit,
        LoadStarted(
            version=found.id,
            model=found.model,
            person=person_of(caller),
            run=run_of(caller),
            bytes=index.ciphertext,
            spent=spent,
            lease="",
            until=unit.now,
            session=caller.session or "",
        ),
    )
    return told


def _listed(opened: checkpoint.Described, found: Version) -> Tensors:
    rows = tuple(TensorRow(name=t.name, dtype=t.dtype, shape=t.shape, bytes=t.bytes) for t in opened.tensors)
    texts = {visible.marked(key): visible.marked(text, lines=True) for key, text in opened.metadata.items()}
    return Tensors(version=found.id, model=found.model, items=rows, metadata=texts)


def _open(unit: Unit, sealed: Sealed, recipient: checkpoint.Recipient, key: bytes) -> checkpoint.Described:
    index = sealed.listed.shards[-1]
    with unit.part(ObjectStore).open(shard_path(sealed.version.prefix, index.id)) as stored:
        ciphertext = stored.read(0, index.ciphertext)
    try:
        return checkpoint.describe_bytes(sealed.listed, recipient, key, ciphertext)
    except SdkError as error:
        tampered(sealed.version.id, "weights.index", f"The stored index does not hold: {error.message}")
