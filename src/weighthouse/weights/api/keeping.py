"""Keeping: destroy, rewrap, sweep, verify what is stored, and the folders of runs. Guards what lies for years."""

from __future__ import annotations

from pathlib import Path

import msgspec
from blake3 import blake3

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Denied, Unavailable, WeighthouseError
from weighthouse.core.ids import check_id
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.keys import api as keys
from weighthouse.weights import store
from weighthouse.weights.api.loading import wrapped_keys
from weighthouse.weights.api.sealing import open_version, seal
from weighthouse.weights.events import CheckpointDestroyed
from weighthouse.weights.model import DESTROYED, SAVE_LIFE, Version
from weighthouse.weights.ports import ObjectStore
from weighthouse.weights.rules.limits import day_of
from weighthouse.weights.rules.manifests import places
from weighthouse.weights.rules.paths import run_prefix, shard_path
from weighthouse_sdk import floe
from weighthouse_sdk.manifest_merkle import leaf_hash, root_of


def destroy(unit: Unit, caller: Caller, version: str, reason: str) -> Version:
    """Destroy the wrapped data keys of a version (crypto-shredding), then its objects. Nothing brings it back.

    Needs `weights.save` on the model, held by a person; holds stop it. Raises Denied, NotFound.
    """
    sealed = open_version(unit, check_id(version, "ver"))
    if caller.kind != "person":
        raise Denied("weights.destroy_by_person", "Only a person destroys a version; a run never does.", "Ask one.")
    access.require(unit, caller, "weights.save", sealed.version.model)
    wrapped_keys(unit, sealed)
    store.drop_keys(unit.conn, sealed.version.save)
    gone = msgspec.structs.replace(sealed.version, state=DESTROYED)
    store.rewrite_version(unit.conn, gone, seal(unit, gone))
    audit.append(unit, CheckpointDestroyed(version=gone.id, model=gone.model, reason=reason[:500]))
    keys.retire(unit, resource=gone.model, version=gone.id)
    objects = unit.part(ObjectStore)
    unit.after_commit(lambda: _forget(objects, gone.prefix))
    return gone


def _forget(objects: ObjectStore, prefix: str) -> None:
    try:
        objects.delete(prefix)
    except WeighthouseError:
        return  # without keys the ciphertext is noise; a later sweep may free the space


def rewrap(unit: Unit, version: str) -> int:
    """Wrap a version's data keys under the newest KEK version; return how many moved. Ciphertext never changes."""
    sealed = open_version(unit, version)
    listed = wrapped_keys(unit, sealed)
    contexts = [p.context() for p in places(sealed.save, [(key.shard, key.index, key.media) for key in listed])]
    items = [
        (keys.Wrapped(key.kek, key.kek_version, key.blob), context)
        for key, context in zip(listed, contexts, strict=True)
    ]
    fresh = keys.rewrap(unit, resource=sealed.version.model, items=items)
    moved = 0
    for key, again in zip(listed, fresh, strict=True):
        changed = msgspec.structs.replace(key, kek_version=again.version, blob=again.blob)
        moved += store.replace_key(unit.conn, sealed.version.save, changed, key.blob)
    return moved


def sweep(system: System) -> int:
    """Remove saves that were begun a day ago and never committed, with their keys and objects; return how many."""
    with begin(system) as unit:
        store.drop_leases(unit.conn, unit.now - SAVE_LIFE)
        store.drop_reads(unit.conn, day_of(unit.now))
        stale = store.stale_saves(unit.conn, unit.now - SAVE_LIFE - 1)
        gone = [save for save in stale if store.drop_save(unit.conn, save.id)]
    objects = system.part(ObjectStore)
    for save in gone:
        _forget(objects, save.prefix)
    return len(gone)


def verify_stored(system: System, version: str) -> list[str]:
    """Read every object of a version and return what is wrong, each line naming a shard. Needs no key."""
    with read(system) as unit:
        sealed = open_version(unit, version)
    objects = system.part(ObjectStore)
    problems = []
    step = floe.GCM256_IV256_1M.segment
    for shard in sealed.listed.shards:
        path = shard_path(sealed.version.prefix, shard.id)
        try:
            if objects.length(path) != shard.ciphertext:
                problems.append(f"shard {shard.id}: its length is not the signed one")
                continue
            header = objects.read(path, 0, floe.HEADER_BYTES)
            offsets = range(floe.HEADER_BYTES, shard.ciphertext, step)
            leaves = [leaf_hash(objects.read(path, at, min(step, shard.ciphertext - at))) for at in offsets]
        except WeighthouseError as error:
            problems.append(f"shard {shard.id}: {error.message}")
            continue
        if blake3(header).hexdigest() != shard.header or root_of(leaves).hex() != shard.root:
            problems.append(f"shard {shard.id}: its bytes are not the signed ones")
    return problems


def outbox(system: System, run: str) -> Path:
    """The one folder that a run's sandbox may write ciphertext to, made now (mount it as /out)."""
    return _local(system, run_prefix(check_id(run, "run")))


def inbox(unit: Unit, version: str) -> Path:
    """The folder of a version's ciphertext (mount it read-only as /in)."""
    return _local(unit.system, open_version(unit, check_id(version, "ver")).version.prefix)


def _local(system: System, prefix: str) -> Path:
    folder = system.part(ObjectStore).local(prefix)
    if folder is None:
        raise Unavailable(
            "weights.store_remote", "The object store has no folder on this machine.", "Use the cluster's runner."
        )
    return folder
