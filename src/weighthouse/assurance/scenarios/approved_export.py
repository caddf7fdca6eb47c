"""A checkpoint of Tern whose export is approved for Eve. No attack is in here."""

from __future__ import annotations

import os

import msgspec

from weighthouse.access import api as access
from weighthouse.assurance.ports import Ground
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights
from weighthouse_sdk.checkpoint_binding import Recipient

APPROVERS = ("ben", "chi", "gil")


class Approved(msgspec.Struct, frozen=True):
    """A checkpoint of Tern, and the destination to which its export is approved."""

    made: Saving
    destination: str


def approved(ground: Ground) -> Approved:
    """Have a checkpoint of Tern saved by Eve's run, and its export to a key outside approved for her."""
    made = saving.written(ground, honest.grant(ground, "eve", "tern-train"), "model/tern", "frontier")
    saving.commit(ground, made)
    honest.give_back(ground, made.grant)  # who trains does not export
    destination = f"x25519:{Recipient().public.hex()}"
    request = honest.ask(ground, "eve", "tern-export", version=made.version, destination=destination)
    for person in APPROVERS:
        honest.vote(ground, person, request)
    return Approved(made, destination)


def over(ground: Ground, approved: Approved) -> None:
    """Give the export back, end the run and remove what it left."""
    os.close(approved.made.out)
    run = approved.made.run.attributes["run"]
    weights.drop_outbox(ground.system, run)
    caller = ground.act_as("eve").caller
    with begin(ground.system, caller) as unit:
        identity.end_workload(unit, run)
        for grant in access.grants_of(unit, caller):
            if grant.state == "active":
                access.give_back(unit, caller, grant.id)
