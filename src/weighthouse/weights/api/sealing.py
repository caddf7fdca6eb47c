"""What makes a row of the registry believable. Guards versions from whoever can write to the database.

A version row is believed when its seal holds, its producer's certificate holds, the envelope's signature holds under
that certified key, the manifest's digest is the sealed one, and the log names no other digest. Any failure is one
line in the log and a refusal; a version is never half-believed.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.canonical import encode
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.signing import Signers, equal, verify_ed25519
from weighthouse.core.work import Unit
from weighthouse.weights import store
from weighthouse.weights.events import CheckpointSealed, HeadMoved, TamperFound
from weighthouse.weights.model import ModelOrder, Save, ShardKey, Version
from weighthouse.weights.rules.manifests import open_manifest
from weighthouse_sdk import manifest

PURPOSE = "manifest"
SEALED = audit.Lines(CheckpointSealed.KIND)
_MOVED = audit.Lines(HeadMoved.KIND)


class Sealed(msgspec.Struct, frozen=True):
    """A version that was checked whole, with what the check opened."""

    version: Version
    save: Save
    listed: manifest.Manifest
    envelope: bytes


def certify(unit: Unit, save: Save) -> Save:
    """Sign which key may sign the manifest of this save."""
    signer = unit.part(Signers).signer(PURPOSE)
    return msgspec.structs.replace(save, certificate=signer.sign(encode(save.statement())))


def certifier(unit: Unit) -> bytes:
    """The public key that certifies who may sign a manifest."""
    return unit.part(Signers).signer(PURPOSE).public


def seal(unit: Unit, version: Version) -> bytes:
    """The code over a version row, made with a key outside the database."""
    return unit.part(Signers).mac(PURPOSE, encode(version.statement()))


def seal_order(unit: Unit, order: ModelOrder) -> bytes:
    """The code over the row of an order to destroy a model's key."""
    return unit.part(Signers).mac(PURPOSE, encode(order.statement()))


def open_order(unit: Unit, model: str) -> ModelOrder | None:
    """The order on a model as its row has it, or None; Denied `weights.row_seal`."""
    found = store.find_order(unit.conn, model)
    if found is None:
        return None
    body, code = found
    try:
        order = msgspec.json.decode(body, type=ModelOrder)
    except msgspec.DecodeError:
        tampered(model, "weights.row_seal", "The row of the order to destroy this model cannot be read.")
    if order.model != model or not equal(code, seal_order(unit, order)):
        tampered(model, "weights.row_seal", "The row of the order to destroy this model is not the one written.")
    return order


def open_save(unit: Unit, id_: str) -> tuple[Save, str]:
    """Return a save whose certificate holds, and its state; NotFound `weights.no_save`, Denied `weights.row_seal`."""
    found = store.find_save(unit.conn, id_)
    if found is None:
        raise NotFound("weights.no_save", "There is no such save.", "Begin a new save.")
    body, state = found
    try:
        save = msgspec.json.decode(body, type=Save)
    except msgspec.DecodeError:
        tampered(id_, "weights.row_seal", f"The row of the save {id_} cannot be read.")
    public = unit.part(Signers).signer(PURPOSE).public
    if save.id != id_ or not verify_ed25519(public, save.certificate, encode(save.statement())):
        tampered(id_, "weights.row_seal", f"The row of the save {id_} is not the one that was written.")
    return save, state


def open_version(unit: Unit, id_: str) -> Sealed:
    """Return a version only if all of it holds; NotFound `weights.no_version`, Denied `weights.row_seal`,
    `weights.envelope` or `weights.rolled_back`."""
    found = store.find_version(unit.conn, id_)
    if found is None:
        raise NotFound("weights.no_version", "There is no such version.", "List the model's versions.")
    body, envelope, code = found
    try:
        version = msgspec.json.decode(body, type=Version)
    except msgspec.DecodeError:
        tampered(id_, "weights.row_seal", "The row of this version cannot be read.")
    if version.id != id_ or not equal(code, seal(unit, version)):
        tampered(id_, "weights.row_seal", "The row of this version is not the one that was written.")
    save, _ = open_save(unit, version.save)
    listed = _open_envelope(unit, version, save, envelope)
    _check_log(unit, version)
    return Sealed(version, save, listed, envelope)


def _open_envelope(unit: Unit, version: Version, save: Save, envelope: bytes) -> manifest.Manifest:
    try:
        keys = store.find_keys(unit.conn, save.id) or _listed_keys(envelope, save)
        listed = open_manifest(envelope, save, keys)
    except WeighthouseError as error:
        tampered(version.id, "weights.envelope", f"The stored manifest does not hold: {error.message}")
    if listed.digest() != version.digest or (listed.model, listed.version) != (version.model, version.id):
        tampered(version.id, "weights.envelope", "The stored manifest is not the one that was committed.")
    return listed


def _listed_keys(envelope: bytes, save: Save) -> list[ShardKey]:
    """A destroyed version has no keys left; its manifest then only has to agree with itself."""
    listed = manifest.open_envelope(envelope, save.signer)
    return [
        ShardKey(shard=shard.id, index=shard.index, media=shard.media, kek="", kek_version=0, blob=b"")
        for shard in listed.shards
    ]


def _check_log(unit: Unit, version: Version) -> None:
    """The log remembers every commit: a row put back from an old backup cannot contradict it."""
    for entry in SEALED.of(unit, version.id, limit=2):
        if entry.data["digest"] != version.digest or entry.data["counter"] != version.counter:
            tampered(version.id, "weights.rolled_back", "The log names another manifest for this version.")


def check_newest(unit: Unit, model: str, found: tuple[str, int] | None) -> None:
    """Refuse a database whose newest version (id, counter) of a model is older than the one the log names, as after a
    rollback, or another. One newer than the log, which may follow on PostgreSQL, is opened whole: attack, count
    the rows anew, so that what was approved for an older version seems to be about the newest.
    """
    entry = _MOVED.newest(unit, model)
    id_, counter = found or ("", 0)
    logged = int(entry.data["counter"]) if entry is not None else 0
    if logged > counter:
        said = f"The log names version {logged} of '{model}', the database only {counter}."
        tampered(model, "weights.rolled_back", said)
    if entry is not None and logged == counter and entry.data["version"] != id_:
        tampered(model, "weights.rolled_back", f"The log names another version {logged} of '{model}'.")
    if logged < counter:
        version = open_version(unit, id_).version
        if (version.model, version.counter) != (model, counter):
            tampered(model, "weights.row_seal", f"The newest row of '{model}' is not the one that was written.")


def tampered(what: str, code: str, why: str) -> NoReturn:
    """Refuse, with one line in the log."""
    raise Denied(
        code,
        why,
        "Restore the database from before the change; find out who wrote to it.",
        record=[TamperFound(what=what, code=code)],
    )
