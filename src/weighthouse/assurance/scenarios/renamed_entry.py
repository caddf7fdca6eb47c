"""Theft: with write access to the database, rename the line of the log that a decision looks for."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import overtaken_request
from weighthouse.audit import api as audit

CODE = overtaken_request.CODE
RENAME = "UPDATE log_entry SET kind = 'audit.Heartbeat', subject = '' WHERE kind = 'access.PolicyPublished'"


def attack(ground: Ground, request: access.Request) -> Observed:
    ground.raw_sql(RENAME)
    observed = overtaken_request.attack(ground, request)
    audit.look(ground.system)  # as the running check does every few seconds
    return observed


SCENARIO = Scenario(
    id="renamed-entry",
    title="Rename the line that ended a request, and have it approved",
    techniques=("T1565.001", "T1070", "T1562.008"),
    people=overtaken_request.SCENARIO.people,
    steps=(
        "On a copy, Eve asks to load Tern; a new policy takes that away, and a later one gives it back.",
        "In the database, the lines of both publications are renamed to heartbeats; what was hashed stays.",
        "Security's old inbox shows the request again, and it is approved.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "request.activate"}),
            Trace("audit.LogDamaged", {}),
        ),
        absent=(Trace("access.VoteCast", {}), Trace("access.GrantStarted", {})),
    ),
    prepare=overtaken_request.prepare,
    attack=attack,
    on="copy",
)
