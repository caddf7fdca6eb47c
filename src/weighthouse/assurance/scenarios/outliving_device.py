"""Theft: go on in a session with a copied client folder, after its owner has ended the device whose key it is."""

from __future__ import annotations

from functools import partial

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

VICTIM = "ben"
CODE = "identity.session_ended"
URL = "http://127.0.0.1/api/v1/me"


def attack(ground: Ground, _prepared: None) -> Observed:
    ben = ground.act_as(VICTIM)
    with begin(ground.system, ben.caller) as unit:
        identity.end_device(unit, ben.caller, ben.device, "My laptop was stolen.")
    loot = ben.minted("GET", URL, identity.fresh_nonce(ground.system))
    return tried(ground, None, "a session of Ben's", partial(identity.authenticate, credential=loot))


SCENARIO = Scenario(
    id="outliving-device",
    title="Go on in the session of a key whose device was ended",
    techniques=("T1550", "T1078"),
    people=(VICTIM,),
    steps=(
        "A thief has copied Ben's client folder: his key and the token of his session.",
        "On a copy, Ben ends the device; the thief goes on in the session, with proofs by the key.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(
            Trace("identity.SessionEnded", {"principal": VICTIM}),
            Trace("identity.DeviceEnded", {"principal": VICTIM}),
        ),
    ),
    attack=attack,
    on="copy",
)
