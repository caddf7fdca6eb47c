"""Theft: have an old request approved that policy had ended, once the entitlement has come back."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import read
from weighthouse.policy import api as policy

CODE = "access.policy_moved"
GIVEN, TAKEN = "    actions: [run.submit, weights.load]\n", "    actions: [run.stop]\n"


def prepare(ground: Ground) -> access.Request:
    request = honest.ask(ground, "eve")
    honest.vote(ground, "ben", request)
    with read(ground.system) as unit:
        text = policy.current_text(unit)
    if text.count(GIVEN) != 1:
        not_here("the example lab's role that loads Tern")
    # Whoever writes the database puts the row out of sight of the change, and back when the entitlement returns.
    ground.raw_sql("UPDATE access_request SET state = 'lapsed' WHERE id = :id", id=request.id)
    honest.publish(ground, text.replace(GIVEN, TAKEN))
    honest.publish(ground, text)
    ground.raw_sql("UPDATE access_request SET state = 'pending' WHERE id = :id", id=request.id)
    return request


def attack(ground: Ground, request: access.Request) -> Observed:
    try:
        honest.vote(ground, "chi", request)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot="a grant of Tern from a request that policy had ended")


SCENARIO = Scenario(
    id="overtaken-request",
    title="Have a request approved that policy had ended",
    techniques=("T1098", "T1565.001"),
    people=("eve", "ben", "chi", "dee", "gil", "hana"),
    steps=(
        "On a copy, Eve asks to load Tern and the steward approves.",
        "A new policy takes that away; a later one gives it back. The request's row was hidden meanwhile.",
        "Security's old inbox shows the request again, and it is approved.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "request.activate"}),),
        absent=(Trace("access.VoteCast", {}), Trace("access.GrantStarted", {})),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
