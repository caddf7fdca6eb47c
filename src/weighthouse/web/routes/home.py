"""The home page: what one may open, what waits for one's decision, what runs."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weighthouse.access import api as access
from weighthouse.core.door import door
from weighthouse.runs import api as runs

router = APIRouter(include_in_schema=False)

SHOWN = 5


@router.get("/")
def home(request: Request) -> Response:
    """Grants, requests, runs and what waits for the reader."""
    with door(request).enter(request, write=False) as (unit, caller):
        mine = access.my_requests(unit, caller)
        return door(request).render(
            request,
            "web/home.html",
            cards=access.inbox(unit, caller)[:SHOWN],
            grants=[one for one in access.grants_of(unit, caller) if one.state == "active"],
            requests=[one for one in mine if one.state == "pending"][:SHOWN],
            runs=[one for one in runs.page(unit, caller) if one.owner == caller.principal][:SHOWN],
        )
