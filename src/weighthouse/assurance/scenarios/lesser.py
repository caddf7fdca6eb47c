"""A lab with a second model beside Tern: larger, of a lesser class, in the same environment. No attack is in here.

A run of Eve's that was ordered for it under a standing entitlement has no grant pinned; her grant of Tern serves it.
"""

from __future__ import annotations

import os

import msgspec

from weighthouse.assurance.ports import Ground
from weighthouse.assurance.scenarios import honest, lab_text, saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.core.caller import Caller
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights

PLOVER = "model/plover"
PEOPLE = ("eve", "ben", "chi", "dee", "gil", "hana")
_MODEL = """  model/plover:
    name: Plover
    description: A scratch model in the frontier environment.
    class: internal
    environment: frontier
    owner: training
    size: 100GiB
"""
_SAVING = """  plover-save:
    name: Save Plover
    description: Save and load checkpoints of Plover.
    actions: [weights.load, weights.save]
    resources: [model/plover]
    environment: frontier
    eligible: [training]
    duration: {default: 8h, longest: 7d, chain: 30d}
    approval: none
"""
_PLACES = (("  dataset/stdlib:\n", _MODEL), ("  wren-train:\n", _SAVING))


class Laid(msgspec.Struct, frozen=True):
    """What lies ready: a run that was ordered for Plover, and the checkpoint of Tern that it may load."""

    run: Caller
    tern: Saving


def lay(ground: Ground) -> Laid:
    """Publish the second model, save a checkpoint of Tern, and begin a run on Plover."""
    honest.publish(ground, lab_text.with_added(ground, _PLACES))
    tern = saving.written(ground, honest.grant(ground, "eve", "tern-train"), "model/tern", "frontier")
    saving.commit(ground, tern)
    honest.ask(ground, "eve", "plover-save", PLOVER)
    return Laid(saving.begun(ground, "", PLOVER, "frontier"), tern)


def load(ground: Ground, laid: Laid) -> None:
    """Have the run load the checkpoint, as the SDK inside it does."""
    saving.lent(ground, laid.run)
    with begin(ground.system, laid.run) as unit:
        weights.begin_load(unit, laid.run, laid.tern.version)


def over(ground: Ground, laid: Laid) -> None:
    """End the runs and remove what they left."""
    os.close(laid.tern.out)
    for run in (laid.run, laid.tern.run):
        weights.drop_outbox(ground.system, run.attributes["run"])
        weights.lenders(ground.system).drop(run.attributes["run"])
        with begin(ground.system) as unit:
            identity.end_workload(unit, run.attributes["run"])
