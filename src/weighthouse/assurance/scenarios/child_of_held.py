"""Theft: save what comes of a held model under another name, and export that."""

from __future__ import annotations

import os

import msgspec

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, lab_text, lesser, saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import HOUR
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights
from weighthouse_sdk.checkpoint_binding import Recipient

CODE = "access.held"
HERON, APPROVERS = "model/heron", ("ben", "chi")
_MODEL = """  model/heron:
    name: Heron
    description: Another model of Tern's class.
    class: frontier
    environment: frontier
    owner: training
    size: 16MiB
"""
_ROLES = """  heron-save:
    name: Save Heron
    description: Save and load checkpoints of Heron.
    actions: [weights.load, weights.save]
    resources: [model/heron]
    environment: frontier
    eligible: [training]
    duration: {default: 1h, longest: 8h, chain: 2d}
    approval: {steward: {team: weights-stewards}, security: {team: security}}
  heron-export:
    name: Export one Heron checkpoint
    description: Take one named version of Heron out to one named destination.
    actions: [weights.export]
    resources: [model/heron]
    environment: frontier
    eligible: [training]
    operation: [version, destination]
    duration: {default: 1h, longest: 2h}
    approval: {steward: {team: weights-stewards}, security: {team: security}}
"""
_PLACES = (("  dataset/stdlib:\n", _MODEL), ("  wren-train:\n", _ROLES))


class Laid(msgspec.Struct, frozen=True):
    """Two checkpoints, of which the second came of the first, and where the second may go."""

    tern: Saving
    heron: Saving
    destination: str


def prepare(ground: Ground) -> Laid:
    honest.publish(ground, lab_text.with_added(ground, _PLACES))
    tern = saving.written(ground, honest.grant(ground, "eve", "tern-train"), "model/tern", "frontier")
    saving.commit(ground, tern)
    _approved(ground, "heron-save")
    run = saving.begun(ground, "", HERON, "frontier")
    lesser.load(ground, lesser.Laid(run, tern))
    heron = saving.write(ground, run, "", HERON)  # it names no parent
    saving.commit(ground, heron)
    destination = f"x25519:{Recipient().public.hex()}"
    _approved(ground, "heron-export", version=heron.version, destination=destination)
    ground.call_hold("gil", "model/tern")
    return Laid(tern, heron, destination)


def _approved(ground: Ground, entitlement: str, **operation: str) -> None:
    request = honest.ask(ground, "eve", entitlement, HERON, HOUR, **operation)
    for person in APPROVERS:
        honest.vote(ground, person, request)


def attack(ground: Ground, laid: Laid) -> Observed:
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "what came of Tern, sealed to a key outside",
        lambda unit: weights.export(unit, thief, laid.heron.version, laid.destination),
    )


def over(ground: Ground, laid: Laid) -> None:
    """End the runs and remove what they left."""
    for one in (laid.tern, laid.heron):
        os.close(one.out)
        weights.drop_outbox(ground.system, one.run.attributes["run"])
        with begin(ground.system) as unit:
            identity.end_workload(unit, one.run.attributes["run"])


SCENARIO = Scenario(
    id="child-of-held",
    title="Save what comes of a held model under another name, and export that",
    techniques=("T1036.005", "T1567", "T1530", "catalogue 53"),
    people=("eve", "dee", "hana", "gil", *APPROVERS),
    steps=(
        "On a copy, a run of Eve's loads a checkpoint of Tern and saves what comes of it as Heron, naming no parent.",
        "The export of that checkpoint is approved; then the chair holds Tern's release.",
        "Eve exports Heron's checkpoint.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "weights.export"}),),
        absent=(Trace("weights.WeightsExported", {}), Trace("keys.KeyReleased", {})),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=over,
    on="copy",
)
