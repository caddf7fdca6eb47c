"""Theft: export as the identity provider's administrator, with a session, a factor and a key of one's own making."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.approved_export import APPROVERS, Approved, approved, over
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights

CODE = "identity.key_young"


def prepare(ground: Ground) -> Approved:
    for person in APPROVERS:
        _grown(ground, person)
    # As in production: on a server that is only tried out, a new key counts at once.
    ground.system.settings = ground.system.settings.changed(**{"identity.new_keys": "confirm"})
    return approved(ground)


def _grown(ground: Ground, person: str) -> None:
    """The operator of the machine has confirmed the key of an approver long ago."""
    device = ground.act_as(person).device
    with begin(ground.system) as unit:
        mark = identity.device(unit, device).thumbprint
        identity.confirm_first_key(unit, person, device, mark=mark, reason="read to the operator in person")


def attack(ground: Ground, approved: Approved) -> Observed:
    thief = ground.act_as(
        "eve"
    ).caller  # her session and second factor are the provider's to make; the key is a minute old
    return tried(
        ground,
        thief,
        "a checkpoint of Tern, sealed to a key outside",
        lambda unit: weights.export(unit, thief, approved.made.version, approved.destination),
    )


SCENARIO = Scenario(
    id="young-export",
    title="Export Tern in a session whose key was enrolled a moment ago",
    techniques=("T1098.005", "T1556", "T1567"),
    people=("eve", *APPROVERS),
    steps=(
        "On a copy where new keys wait to be confirmed, an export of Eve's is approved by three people.",
        "The identity provider's administrator signs in as Eve, second factor and all, and enrols a key.",
        "Everything fits the grant, and the export is asked for.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "weights.export"}),),
        absent=(Trace("weights.WeightsExported", {}), Trace("keys.KeyReleased", {})),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=over,
    on="copy",
)
