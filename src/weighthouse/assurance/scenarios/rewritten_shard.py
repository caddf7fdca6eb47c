"""Theft: keep a shard open and write other bytes into it, after it was committed and before."""

from __future__ import annotations

import os

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.core.errors import WeighthouseError
from weighthouse.weights import api as weights

CODE = "weights.bad_shard"
Both = tuple[Saving, Saving]


def prepare(ground: Ground) -> Both:
    first = saving.written(ground)
    return first, saving.written(ground, first.grant)


def _rewrite(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, bytes([os.pread(descriptor, 1, size - 1)[0] ^ 1]), size - 1)


def attack(ground: Ground, both: Both) -> Observed:
    first, second = both
    kept = [os.open(one.shards()[0], os.O_RDWR) for one in both]
    try:
        saving.commit(ground, first)
        _rewrite(kept[0])
        if weights.verify_stored(ground.system, first.version):
            return Observed(loot="other bytes under a committed version")
        _rewrite(kept[1])
        saving.commit(ground, second)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    finally:
        for descriptor in kept:
            os.close(descriptor)
    return Observed(loot="a version whose bytes are not the signed ones")


def cleanup(ground: Ground, both: Both) -> None:
    first, second = both
    os.close(second.out)
    weights.drop_outbox(ground.system, second.run.attributes["run"])
    saving.over(ground, first)


SCENARIO = Scenario(
    id="rewritten-shard",
    title="Write into a shard after its commit",
    techniques=("T1565.001", "T1554", "AML.T0018"),
    people=("eve",),
    steps=(
        "A run keeps a shard open, commits it, and writes into it: the version must not change.",
        "A second save is rewritten under its signed manifest, just before its commit.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="weights",
        code=CODE,
        traces=(Trace("weights.ManifestRefused", {"code": CODE}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=cleanup,
    on="copy",
)
