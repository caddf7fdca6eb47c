"""A run of Eve's that saves a checkpoint, step by step as its code would. Guards thefts of weights from scenery.

The run has an identity, a grant and a folder like any other; its files lie where its sandbox would write them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse.assurance.ports import Ground
from weighthouse.assurance.scenarios import honest
from weighthouse.core.caller import Caller
from weighthouse.core.clock import MINUTE
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.runs import api as runs
from weighthouse.weights import api as weights
from weighthouse_sdk import checkpoint
from weighthouse_sdk.checkpoint_binding import Recipient


class Saving(msgspec.Struct, frozen=True, kw_only=True):
    """A save that was written and is ready for its commit. `out` is a descriptor of the run's folder."""

    grant: str
    run: Caller
    save: str
    version: str
    envelope: bytes
    out: int

    @property
    def folder(self) -> Path:
        """Where the run's own code finds its save."""
        return Path(f"/proc/self/fd/{self.out}") / self.save

    def shards(self) -> list[Path]:
        return sorted((self.folder / "shards").glob("*.floe"))


class Keys:
    """Stands where the lender of a run would, for a run that has an identity and no process."""

    def __init__(self) -> None:
        self.opener, self.private = Recipient(), Ed25519PrivateKey.generate()
        self.recipient, self.signer = self.opener.public, self.private.public_key().public_bytes_raw()

    def lend(self, ticket: weights.LoadTicket) -> None: ...

    def write(self, ticket: weights.SaveTicket) -> None: ...

    def extend(self, lease: str, lasts_ms: int) -> None: ...

    def end(self, lease: str) -> None: ...


def lent(ground: Ground, run: Caller) -> Keys:
    """Have a run be lent weights; again after a server was started anew, which knows of no lender."""
    keys = Keys()
    weights.lenders(ground.system).keep(run.attributes["run"], keys)
    return keys


def written(ground: Ground, grant: str = "", model: str = "model/wren", environment: str = "research") -> Saving:
    """Have a run of Eve's write a checkpoint of `model` under `grant` (by default Wren's, which nobody approves)."""
    grant = grant or honest.trainer(ground)
    return write(ground, begun(ground, grant, model, environment), grant, model)


def write(
    ground: Ground, run: Caller, grant: str, model: str, size: int = 0, tensors: Mapping[str, Any] | None = None
) -> Saving:
    """Begin a save of a run and write its files: these `tensors`, or one of `size` bytes, where they are given."""
    import numpy  # here, for it begins threads, and a server that is not attacked needs none of them

    keys = lent(ground, run)
    with begin(ground.system, run) as unit:
        ticket = weights.begin_save(unit, run, model=model, parent=None, shards=1)
    out = weights.outbox(ground.system, run.attributes["run"])
    usual = numpy.ones(size, dtype="uint8") if size else numpy.ones((300, 64), dtype="float32")
    tensors = tensors or {"embed": usual}
    parsed = checkpoint.parse_save(msgspec.to_builtins(ticket))
    plan = checkpoint.plan_shards(tensors)
    folder = Path(f"/proc/self/fd/{out}") / ticket.save
    envelope = checkpoint.save(tensors, parsed, keys.opener, keys.private, folder, plan=plan)
    return Saving(grant=grant, run=run, save=ticket.save, version=ticket.version, envelope=envelope, out=out)


def commit(ground: Ground, saving: Saving) -> weights.Version:
    """Commit a save as the run's SDK does: the shards are taken over first."""
    weights.take(ground.system, saving.run, saving.save, saving.envelope)
    with begin(ground.system, saving.run) as unit:
        return weights.commit(unit, saving.run, saving.save, saving.envelope)


def over(ground: Ground, saving: Saving) -> None:
    """End the run, remove what it left, and give its grant back."""
    os.close(saving.out)
    run = saving.run.attributes["run"]
    weights.drop_outbox(ground.system, run)
    weights.lenders(ground.system).drop(run)
    with begin(ground.system) as unit:
        identity.end_workload(unit, run)
    honest.give_back(ground, saving.grant)


def begun(ground: Ground, grant: str, model: str, environment: str) -> Caller:
    """Begin a run of Eve's on `model`, pinned to `grant`; to none where that is empty."""
    run = new_id("run")
    eve = ground.act_as("eve").caller
    facts = {
        "person": "eve",
        "account": eve.account,
        "model": model,
        "sandbox": "bubblewrap",
        "environment": environment,
    }
    if grant:
        facts["grant"] = grant
    with begin(ground.system) as unit:
        facts["image_digest"] = runs.environments(unit)[0].digest
        token = identity.issue_workload(unit, run=run, attributes=facts, expires=unit.now + 5 * MINUTE)
    with begin(ground.system) as unit:
        shown = identity.Credential(kind="workload", value=token, proof=run, url="/workload/v1/saves")
        return identity.authenticate(unit, shown)
