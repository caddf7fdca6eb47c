"""Theft: with the idempotency key of an export that was given, ask for it again under a hold."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.approved_export import APPROVERS, Approved, approved, over
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.weights import api as weights

CODE = "access.held"
KEY = "the-export-of-a-contractor"


def prepare(ground: Ground) -> Approved:
    given = approved(ground)
    eve, chi = ground.act_as("eve").caller, ground.act_as("chi").caller
    with begin(ground.system, eve) as unit:
        weights.export_once(unit, eve, given.made.version, given.destination, KEY)
    with begin(ground.system, chi) as unit:
        access.place_hold(unit, chi, "model/tern", "An exercise: an incident.", actions=("weights.export",))
    return given


def attack(ground: Ground, given: Approved) -> Observed:
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "the data keys of a checkpoint of Tern, once more",
        lambda unit: weights.export_once(unit, thief, given.made.version, given.destination, KEY),
    )


SCENARIO = Scenario(
    id="replayed-export",
    title="Ask for an export again, by the key of the request that was answered before a hold",
    techniques=("T1550", "T1567", "T1530"),
    people=("eve", *APPROVERS),
    steps=(
        "On a copy, an export of Eve's is approved by three people, and given.",
        "Security holds exports of Tern.",
        "Eve sends the same request once more, with the same idempotency key.",
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
