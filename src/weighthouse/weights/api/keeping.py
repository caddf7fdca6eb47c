"""Keeping: rewrap, verify what is stored, and the folders of runs. Guards what lies for years."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from blake3 import blake3

from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.ids import check_id
from weighthouse.core.work import System, Unit, read
from weighthouse.keys import api as keys
from weighthouse.weights import store
from weighthouse.weights.api import shares, turns
from weighthouse.weights.api.collecting import drop_taken, forget
from weighthouse.weights.api.loading import kept_keys
from weighthouse.weights.api.sealing import open_version
from weighthouse.weights.api.taking import take_old
from weighthouse.weights.model import Version
from weighthouse.weights.ports import ObjectStore
from weighthouse.weights.rules.manifests import places
from weighthouse.weights.rules.paths import kept_prefix, run_prefix, shard_path
from weighthouse_sdk import floe, manifest
from weighthouse_sdk.manifest_merkle import leaf_hash, root_of


def rewrap(unit: Unit, version: str) -> int:
    """Wrap a version's data keys under the newest KEK version; return how many moved. Ciphertext never changes."""
    sealed = open_version(unit, version)
    listed = kept_keys(unit, sealed)
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


def verify_stored(system: System, version: str) -> list[str]:
    """Read every object of a version and return what is wrong, each line naming a shard. Needs no key."""
    with read(system) as unit:
        sealed = open_version(unit, version)
    objects = system.part(ObjectStore)
    problems = []
    for shard in sealed.listed.shards:
        try:
            why = _wrong(objects, sealed.version, shard)
        except WeighthouseError as error:
            why = error.message
        if why:
            problems.append(f"shard {shard.id}: {why}")
    return problems


def _wrong(objects: ObjectStore, version: Version, shard: manifest.Shard) -> str:
    step = floe.GCM256_IV256_1M.segment
    with objects.open(shard_path(version.prefix, shard.id)) as found:
        if found.size != shard.ciphertext:
            return "its length is not the signed one"
        header = found.read(0, floe.HEADER_BYTES)
        offsets = range(floe.HEADER_BYTES, shard.ciphertext, step)
        leaves = [leaf_hash(found.read(at, min(step, shard.ciphertext - at))) for at in offsets]
    whole = blake3(header).hexdigest() == shard.header and root_of(leaves).hex() == shard.root
    return "" if whole else "its bytes are not the signed ones"


def outbox(system: System, run: str) -> int:
    """A descriptor of the one folder that a run's sandbox may write ciphertext to, made now (mount it as /out).

    Whoever gets it closes it.
    """
    return _local(system.part(ObjectStore).folder(run_prefix(check_id(run, "run"))))


def drop_outbox(system: System, run: str) -> bool:
    """Remove all that an ended run left, and what was copied for saves that it never committed; its versions lie
    elsewhere. A commit of it that is under way stops first. Returns whether all of it went."""
    stopped = turns.end(system, check_id(run, "run"))
    lend_outbox(system, run, None)
    shares.end(system, run)
    taken = stopped and drop_taken(system, run)
    return forget(system.part(ObjectStore), run_prefix(run)) and taken


def lend_outbox(system: System, run: str, folder: int | None) -> None:
    """Let a run's folder be what is behind a descriptor (a file system of its own), until None is lent."""
    system.part(ObjectStore).lend(run_prefix(check_id(run, "run")), folder)


def inbox(system: System, version: str, pause: Callable[[], None]) -> int:
    """A descriptor of the folder with the objects that a version's manifest lists and nothing else (mount it as /in).

    `pause` is called while something old is copied, and may raise. Whoever gets the descriptor closes it.
    """
    take_old(system, version, pause)
    with read(system) as unit:
        sealed = open_version(unit, check_id(version, "ver"))
    prefix = kept_prefix(version)
    listed = {shard_path(prefix, shard.id): shard.ciphertext for shard in sealed.listed.shards}
    return _local(system.part(ObjectStore).only(prefix, listed))


def _local(folder: int | None) -> int:
    if folder is None:
        raise Unavailable(
            "weights.store_remote", "The object store has no folder on this machine.", "Use the cluster's runner."
        )
    return folder
