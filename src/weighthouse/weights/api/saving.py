"""Saving: fresh keys for one new version, then one commit that makes it visible. Guards the set from being mixed.

`begin_save` decides, draws names and data keys and certifies the producer's key; `commit` decides again, verifies the
manifest against what was agreed and the objects against the manifest, and lets exactly one commit of a save win.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Conflict, Invalid, NotFound, WeighthouseError
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.keys import api as keys
from weighthouse.policy import api as policy
from weighthouse.weights import store
from weighthouse.weights.api import ends, lent
from weighthouse.weights.api.classes import class_of, person_of, resource_of, run_of
from weighthouse.weights.api.collecting import forget
from weighthouse.weights.api.lineage import check_class, check_opened, lowered
from weighthouse.weights.api.sealing import certify, open_save, open_version, seal
from weighthouse.weights.api.telling import BEGUN_BYTES, committed_bytes, pay_save
from weighthouse.weights.events import CheckpointSealed, HeadMoved, ManifestRefused, SaveBegun
from weighthouse.weights.model import (
    COMMITTED,
    MAX_SHARDS,
    OPEN,
    SAVE_LIFE,
    ParentRef,
    Save,
    SaveTicket,
    ShardKey,
    TicketKey,
    Version,
)
from weighthouse.weights.ports import ObjectStore
from weighthouse.weights.rules.manifests import check_new, open_manifest, places, signed
from weighthouse.weights.rules.paths import kept_prefix, manifest_path, save_prefix, shard_path
from weighthouse_sdk import manifest
from weighthouse_sdk.checkpoint_binding import INDEX_MEDIA, SHARD_MEDIA

SIGNER_BYTES = 32


def begin_save(
    unit: Unit,
    caller: Caller,
    *,
    model: str,
    parent: str | None,
    shards: int,
    recipient: bytes = b"",
    signer: bytes = b"",
) -> SaveTicket:
    """Open one save of `shards` data shards, with data keys sealed to `recipient` and `signer` certified for it.

    `recipient` is a raw X25519 key, `signer` a raw Ed25519 key, both made for this save alone; a run names none, its
    lender has them. A failed save is begun anew. Raises Denied (`weights.keys_in_run`, `weights.class_lowered`,
    `weights.parent_unopened`), NotFound `weights.no_model`, Conflict `weights.model_destroyed`,
    `weights.model_being_destroyed`, Invalid `weights.bad_shards`, `weights.bad_signer`.
    """
    _check_asked(caller, shards, signer)
    resource_of(unit, model)
    access.require(unit, caller, "weights.save", model)
    ends.check_model(unit, model)
    check_class(unit, caller, model)
    recipient, signer = lent.keys_for(unit, caller, model, recipient, signer)
    origin = _parent(unit, caller, model, parent) if parent is not None else None
    run, save_id = run_of(caller), new_id("sav")
    save = Save(
        id=save_id,
        version=new_id("ver"),
        tenant=policy.current(unit).lab.id,
        model=model,
        parent=origin,
        principal=caller.principal,
        person=person_of(caller),
        run=run,
        signer=signer,
        shards=shards,
        prefix=save_prefix(save_id, run),
        begun=unit.now,
    )
    pay_save(unit, save, BEGUN_BYTES)
    objects = [(secrets.token_hex(16), at, SHARD_MEDIA if at < shards else INDEX_MEDIA) for at in range(shards + 1)]
    contexts = [place.context() for place in places(save, objects)]
    released = keys.new_data_keys(unit, caller, resource=model, contexts=contexts, recipient=recipient)
    store.add_save(unit.conn, certify(unit, save), _listed(objects, released))
    sealed = tuple(
        TicketKey(shard=shard, index=at, media=media, sealed=key.sealed)
        for (shard, at, media), key in zip(objects, released, strict=True)
    )
    return _begun(unit, save, sealed)


def _check_asked(caller: Caller, shards: int, signer: bytes) -> None:
    if not 0 < shards <= MAX_SHARDS:
        raise Invalid("weights.bad_shards", f"A save has 1 to {MAX_SHARDS} shards.", "Make shards larger.")
    if len(signer) != SIGNER_BYTES and not run_of(caller):
        raise Invalid("weights.bad_signer", "The signer is not an Ed25519 public key of 32 bytes.", "Use the SDK.")


def _listed(objects: list[tuple[str, int, str]], released: list[keys.ReleasedKey]) -> list[ShardKey]:
    return [
        ShardKey(shard=shard, index=at, media=media, kek=key.kek, kek_version=key.kek_version, blob=key.wrapped)
        for (shard, at, media), key in zip(objects, released, strict=True)
    ]


def _begun(unit: Unit, save: Save, sealed: tuple[TicketKey, ...]) -> SaveTicket:
    line = SaveBegun(
        save=save.id,
        version=save.version,
        model=save.model,
        parent=save.parent.version if save.parent else "",
        run=save.run,
        shards=save.shards,
    )
    audit.append(unit, line)
    return SaveTicket(
        save=save.id,
        version=save.version,
        tenant=save.tenant,
        model=save.model,
        parent=save.parent,
        prefix=save.prefix,
        keys=sealed,
    )


def _parent(unit: Unit, caller: Caller, model: str, parent: str) -> ParentRef:
    """A child of frontier weights is frontier weights: it cannot be saved as a model of a lower class."""
    sealed = open_version(unit, check_id(parent, "ver"))
    if class_of(unit, sealed.version.model).rank > class_of(unit, model).rank:
        raise lowered(sealed.version.model, model, parent)
    check_opened(unit, caller, model, sealed)
    return ParentRef(sealed.version.id, sealed.version.digest)


def commit(unit: Unit, caller: Caller, save_id: str, envelope: bytes) -> Version:
    """Make a save visible as a version. The same commit again returns the same version.

    `taking.take` comes first: it copies the shards, outside of any transaction, to where no run has ever written.
    Raises NotFound `weights.no_save`, Denied `weights.class_lowered`, Invalid `weights.bad_manifest`, Conflict
    `weights.already_committed` for a second manifest, `weights.save_lapsed` after a day, `weights.not_taken` for
    shards that were not taken over, TooMany `egress.said_spent` when what may be said of its models is spent.
    """
    save, state = own_save(unit, caller, save_id)
    access.require(unit, caller, "weights.save", save.model)
    check_class(unit, caller, save.model, save.id)  # of loads since it was begun as well
    if state != OPEN:
        return _again(unit, save, envelope)
    ends.check_model(unit, save.model)
    if unit.now - save.begun > SAVE_LIFE:
        raise Conflict("weights.save_lapsed", "This save was begun more than a day ago.", "Begin a new save.")
    with refused(save):
        listed = open_manifest(envelope, save, store.find_keys(unit.conn, save.id))
        check_new(listed, envelope, save.signer)
        _check_objects(unit, save, listed)
    pay_save(unit, save, committed_bytes(save.shards))
    if not store.close_save(unit.conn, save.id):
        raise _already()
    version = Version(
        id=save.version,
        model=save.model,
        counter=store.next_counter(unit.conn, save.model),
        save=save.id,
        parent=save.parent,
        principal=save.principal,
        person=save.person,
        run=save.run,
        digest=listed.digest(),
        shards=save.shards,
        bytes=listed.ciphertext(),
        prefix=kept_prefix(save.version),
        at=unit.now,
        state=COMMITTED,
    )
    store.add_version(unit.conn, version, envelope, seal(unit, version))
    _announce(unit, version)
    unit.after_commit(lambda: _keep_copy(unit.part(ObjectStore), version.id, envelope))
    if not save.run:  # what a run wrote is its own to load from until it ends
        unit.after_commit(lambda: forget(unit.part(ObjectStore), save.prefix))
    return version


def _announce(unit: Unit, version: Version) -> None:
    audit.append(
        unit,
        CheckpointSealed(
            version=version.id,
            model=version.model,
            save=version.save,
            counter=version.counter,
            parent=version.parent.version if version.parent else "",
            digest=version.digest,
            bytes=version.bytes,
            run=version.run,
            person=version.person,
        ),
    )
    audit.append(unit, HeadMoved(model=version.model, version=version.id, counter=version.counter))


def _again(unit: Unit, save: Save, envelope: bytes) -> Version:
    sealed = open_version(unit, save.version)
    if hashlib.sha256(sealed.envelope).digest() != hashlib.sha256(envelope).digest():
        raise _already()
    return sealed.version


def _already() -> Conflict:
    return Conflict(
        "weights.already_committed", "Another manifest of this save was committed first.", "Begin a new save."
    )


def own_save(unit: Unit, caller: Caller, save_id: str) -> tuple[Save, str]:
    """A save that the caller began, and its state; raises NotFound `weights.no_save`."""
    save, state = open_save(unit, check_id(save_id, "sav"))
    if save.principal != caller.principal:
        raise NotFound("weights.no_save", "There is no such save.", "Begin a new save.")
    return save, state


@contextmanager
def refused(save: Save) -> Iterator[None]:
    """What is wrong with a manifest or its shards leaves one line that names the save."""
    try:
        yield
    except (Invalid, NotFound) as error:
        line = ManifestRefused(save=save.id, version=save.version, model=save.model, code=error.code)
        error.record = (*error.record, line)
        raise


def _check_objects(unit: Unit, save: Save, listed: manifest.Manifest) -> None:
    """Each shard must have been taken over, with the signed bytes, by this very process: no path is believed here."""
    objects = unit.part(ObjectStore)
    for shard in listed.shards:
        if not objects.is_taken(shard_path(kept_prefix(save.version), shard.id), signed(shard)):
            raise Conflict(
                "weights.not_taken", f"Shard {shard.id} has not been taken over yet.", "Commit the save again."
            )


def _keep_copy(objects: ObjectStore, version: str, envelope: bytes) -> None:
    """A copy beside the ciphertext, for a day when the database is lost. The database stays the one that decides."""
    try:
        objects.put_new(manifest_path(version), envelope)
    except WeighthouseError:
        return  # `verify_stored` names a missing copy; the committed version stands either way
