"""Taking shards over from whoever wrote them, before they are a version. Guards committed bytes from their writer.

A run may swap, link, map and rewrite whatever lies in its own folder, at any moment. So its shards are copied to a
folder that no run has ever been able to write, checked byte by byte on the copy, and only then may a commit name
them. This is done outside of any transaction, for it may take as long as reading the shards does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.core.ids import check_id
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.weights import store
from weighthouse.weights.api import shares, turns
from weighthouse.weights.api.classes import run_of
from weighthouse.weights.api.saving import commit, own_save, refused
from weighthouse.weights.api.sealing import open_version
from weighthouse.weights.model import OPEN, SAVE_LIFE, Save, Version
from weighthouse.weights.ports import ObjectStore
from weighthouse.weights.rules.manifests import check_new, open_manifest, signed
from weighthouse.weights.rules.paths import kept_prefix, shard_path
from weighthouse_sdk import manifest

PATIENCE_S = 30.0  # less than what a client waits for an answer


def take_and_commit(system: System, caller: Caller, save_id: str, envelope: bytes) -> Version:
    """Copy the shards of a save and commit it: the one commit of its run meanwhile, and none once the run is over.

    Raises what `take` and `commit` raise, Conflict `weights.commit_busy`, `weights.run_over`.
    """
    with read(system, caller) as unit:
        own_save(unit, caller, save_id)  # else who waits for a turn could be remembered by names that are made up
    with turns.turn(system, run_of(caller) or caller.principal, save_id) as pause:
        take(system, caller, save_id, envelope, pause)
        with begin(system, caller) as unit:
            return commit(unit, caller, save_id, envelope)


def _go_on() -> None:
    """Nothing stops what is copied."""


def take(system: System, caller: Caller, save_id: str, envelope: bytes, pause: Callable[[], None] = _go_on) -> None:
    """Copy the shards of a save to where a commit of it may name them. The same again goes on where it stopped.

    What a commit would refuse for another reason is left to it. Raises Invalid `weights.bad_manifest`,
    `weights.bad_shard` naming it, `weights.run_full` before any is copied, Unavailable `weights.taking` when it takes
    long: the commit is then sent again.
    """
    with read(system, caller) as unit:
        ready = _ready(unit, caller, save_id, envelope)
    if ready is None:
        return
    save, listed = ready
    wanted = {(save.id, shard.id): signed(shard).length for shard in listed.shards}
    with read(system, caller), refused(save):
        left = shares.reserve(system, save.run, wanted)
    try:
        _all(system, caller, save, listed, left, pause)
    finally:
        shares.give_back(system, save.run, left)


def _all(
    system: System,
    caller: Caller,
    save: Save,
    listed: manifest.Manifest,
    left: list[shares.Shard],
    pause: Callable[[], None],
) -> None:
    """Take shard after shard; `left` loses each that is there."""
    started = time.monotonic()
    for number, shard in enumerate(listed.shards):
        if time.monotonic() - started > PATIENCE_S:
            raise Unavailable(
                "weights.taking",
                f"{number} of {len(listed.shards)} shards have been copied and checked; the others are next.",
                "Send the same commit again.",
            )
        _one(system, caller, save, shard, pause)
        if (save.id, shard.id) in left:
            left.remove((save.id, shard.id))


def _ready(unit: Unit, caller: Caller, save_id: str, envelope: bytes) -> tuple[Save, manifest.Manifest] | None:
    save, state = own_save(unit, caller, save_id)
    allowed = access.explain(unit, caller, "weights.save", save.model).allowed
    if state != OPEN or not allowed or unit.now - save.begun > SAVE_LIFE:
        return None
    with refused(save):
        listed = open_manifest(envelope, save, store.find_keys(unit.conn, save.id))
        check_new(listed, envelope, save.signer)
    return save, listed


def _one(system: System, caller: Caller, save: Save, shard: manifest.Shard, pause: Callable[[], None]) -> None:
    source, target = shard_path(save.prefix, shard.id), shard_path(kept_prefix(save.version), shard.id)
    try:
        system.part(ObjectStore).take(source, target, signed(shard), pause)
    except (Invalid, NotFound) as error:
        # A unit of its own, so that the one line of the refusal is written though no transaction is open.
        with read(system, caller), refused(save):
            raise _bad_shard(shard.id, error.message) from None


def take_old(system: System, version: str, pause: Callable[[], None]) -> None:
    """Take over a version that was committed where its run could write, before versions had a folder of their own."""
    with read(system) as unit:
        sealed = open_version(unit, check_id(version, "ver"))
    prefix = kept_prefix(version)
    if sealed.version.prefix == prefix:
        return
    objects = system.part(ObjectStore)
    for shard in sealed.listed.shards:
        source, target = shard_path(sealed.version.prefix, shard.id), shard_path(prefix, shard.id)
        objects.take(source, target, signed(shard), pause)


def _bad_shard(shard: str, why: str) -> WeighthouseError:
    return Invalid(
        "weights.bad_shard", f"Shard {shard}: {why}", "Write every shard whole before the commit; begin a new save."
    )
