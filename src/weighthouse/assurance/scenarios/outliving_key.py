"""Theft: with write access to the database, have it lose the end of a key, and go on in a session of that key."""

from __future__ import annotations

import contextlib
from functools import partial

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

VICTIM = "ben"
CODE = "identity.session_ended"
URL = "http://127.0.0.1/api/v1/me"
HIDE = (
    "CREATE TABLE hidden AS SELECT * FROM identity_session WHERE id = :id",
    "DELETE FROM identity_session WHERE id = :id",
)
LOSE = "CREATE TRIGGER lose BEFORE UPDATE ON identity_principal BEGIN SELECT RAISE(ABORT, 'lost'); END"
PUT_BACK = ("DROP TRIGGER lose", "INSERT INTO identity_session SELECT * FROM hidden", "DROP TABLE hidden")


def attack(ground: Ground, _prepared: None) -> Observed:
    ben = ground.act_as(VICTIM)
    owner = ben.caller
    for statement in HIDE:
        ground.raw_sql(statement, id=str(owner.session))
    ground.raw_sql(LOSE)
    with contextlib.suppress(Exception), begin(ground.system, owner) as unit:  # the database's own, whatever it is
        identity.end_device(unit, owner, ben.device, "My laptop was stolen.")
    for statement in PUT_BACK:
        ground.raw_sql(statement)
    loot = ben.minted("GET", URL, identity.fresh_nonce(ground.system))
    return tried(ground, None, "a session of Ben's", partial(identity.authenticate, credential=loot))


SCENARIO = Scenario(
    id="outliving-key",
    title="Have the database lose the end of a key, and go on in a session of it",
    techniques=("T1550", "T1565.001", "T1562"),
    people=(VICTIM,),
    steps=(
        "A thief has Ben's laptop: his key and the token of his session.",
        "On a copy, the session's row is hidden and the database takes no change of anybody; Ben ends his device.",
        "The row is put back, and the thief goes on in the session, with proofs by the key.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.CredentialRefused", {"code": CODE, "principal": VICTIM}),),
        absent=(Trace("identity.DeviceEnded"),),
    ),
    attack=attack,
    on="copy",
)
