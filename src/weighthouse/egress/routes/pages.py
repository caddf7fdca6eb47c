"""The egress page: what may be reached, what has left, and how long a theft of the weights would take at the caps."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weighthouse.access import api as access
from weighthouse.core.clock import DAY
from weighthouse.core.door import door
from weighthouse.egress import api

router = APIRouter(include_in_schema=False)


@router.get("/egress")
def budgets(request: Request) -> Response:
    """Accounts of the ledger, models with their times to theft, and the allow-list of each profile."""
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "catalogue.read", "lab")
        found = api.budgets(unit)
        return door(request).render(
            request,
            "egress/budgets.html",
            budgets=found,
            spent={(one.level, one.name): _spent(one) for one in found},
            profiles=api.profiles(unit),
        )


def _spent(budget: api.Budget) -> int:
    return next((window.spent for window in budget.windows if window.span == DAY), 0)
