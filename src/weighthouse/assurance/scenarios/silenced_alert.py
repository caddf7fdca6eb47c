"""Theft: with write access to the database, have a row say beforehand that the alert about the theft was raised."""

from __future__ import annotations

import msgspec

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.ids import new_id
from weighthouse.core.work import read
from weighthouse.identity import api as identity

VICTIM = "ivo"
CODE, RULE = "identity.session_used_elsewhere", "session-used-elsewhere"
PLANT = (
    "INSERT INTO detect_alert (id, incident, rule, principal, last_evidence, at, alert) "
    "VALUES (:id, :incident, :rule, :principal, 1000000000, 1, :alert)"
)


def prepare(ground: Ground) -> identity.Credential:
    return ground.act_as(VICTIM).stolen("GET", "http://127.0.0.1/api/v1/me")


def attack(ground: Ground, loot: identity.Credential) -> Observed:
    with read(ground.system) as unit:
        sessions = [one.id for one in identity.sessions_of(unit, VICTIM)]
    for session in sessions:  # which of them was stolen a thief knows; the rows for all make sure
        plant(ground, f"{RULE}:{session}")
    observed = tried(ground, None, "a session of somebody else", lambda unit: identity.authenticate(unit, loot))
    ground.settle()
    return observed


def plant(ground: Ground, incident: str) -> None:
    alert = {
        "id": new_id("alr"), "rule": RULE, "title": "", "severity": "low", "principal": VICTIM, "session": "",
        "evidence": [], "text": "", "at": 1, "response": [], "acknowledged_by": "chi", "acknowledged_at": 1,
        "note": "",
    }  # fmt: skip
    said = msgspec.json.encode(alert).decode()
    ground.raw_sql(PLANT, id=str(alert["id"]), incident=incident, rule=RULE, principal=VICTIM, alert=said)


SCENARIO = Scenario(
    id="silenced-alert",
    title="Have a row say beforehand that the alert about a theft was raised",
    techniques=("T1562.006", "T1565.001", "T1539"),
    people=(VICTIM,),
    steps=(
        "On a copy, Ivo, a director, is signed in.",
        "Rows are planted that name the alert which is to come, acknowledged already.",
        "A thief presents Ivo's session from another machine, and the alert must come all the same.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(
            Trace("identity.SessionUsedElsewhere", {"principal": VICTIM}),
            Trace("detect.AlertRowRefused"),
            Trace("detect.AlertRaised", {"rule": RULE, "principal": VICTIM}),
            Trace("detect.ResponseTaken", {"rule": RULE, "principal": VICTIM}),
        ),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
