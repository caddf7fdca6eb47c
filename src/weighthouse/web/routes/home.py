"""The home page: what waits for the reader, what they hold and until when, and what their office should know first.

Guards each room from a second door: what a reader may not see, the room itself refuses, and the page leaves it out.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.door import door
from weighthouse.core.paging import MOST
from weighthouse.core.work import Unit
from weighthouse.detect import api as detect
from weighthouse.governance import api as governance
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.runs import api as runs

router = APIRouter(include_in_schema=False)

SHOWN = 5
HELD = 25
LOOKED_AT = 100  # of the newest runs that the reader may see, for their own


@router.get("/")
def home(request: Request) -> Response:
    """What waits for the reader, their grants, requests and runs, and the news of their office."""
    with door(request).enter(request, write=False) as (unit, caller):
        mine = [one for one in access.my_requests(unit, caller) if one.state == "pending"]  # open ones come first
        held = [one for one in access.grants_of(unit, caller, limit=HELD + 1) if one.state == "active"]
        # Asked first whether anything waits: somebody under a hold has no inbox, and has this page.
        waiting = access.inbox(unit, caller, SHOWN + 1) if access.waiting(unit, caller, 1) else []
        running = [one for one in runs.page(unit, caller, limit=LOOKED_AT) if one.owner == caller.principal]
        return door(request).render(
            request,
            "web/home.html",
            cards=waiting[:SHOWN],
            more=len(waiting) > SHOWN,
            grants=held[:HELD],
            more_grants=len(held) > HELD,
            requests=mine[:SHOWN],
            more_requests=len(mine) > SHOWN,
            runs=running[:SHOWN],
            names=access.names(unit),
            news=identity.news(unit, caller.principal)[:SHOWN],
            alarms=_alarms(unit, caller),
            **_committee(unit, caller),
        )


def _may(unit: Unit, caller: Caller, action: str) -> bool:
    return access.explain(unit, caller, action, policy.LAB_RESOURCE).allowed


def _alarms(unit: Unit, caller: Caller) -> list[detect.Alert] | None:
    """Alerts that nobody has looked at, for those who answer them; None for everybody else."""
    if not _may(unit, caller, "session.end"):
        return None
    return [one for one in detect.alerts(unit, caller, limit=MOST) if not one.acknowledged_by]


def _committee(unit: Unit, caller: Caller) -> dict[str, Any]:
    """Open motions that lack the reader's ballot, and releases that are held; both empty for who does not vote."""
    if not _may(unit, caller, "committee.vote"):
        return {"motions": [], "held": []}
    found = governance.motions(unit, caller)
    models = [one.id for one in policy.current(unit).lab.resources.values() if one.kind == "model"]
    status = [governance.release_status(unit, model) for model in models]
    return {
        "motions": [one for one in found if not one.outcome and caller.principal not in one.voted],
        "held": [one for one in status if one.held],
    }
