"""The page of attacks and evidence. Guards the score from flattery: it shows what was missed and what was not run."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.access import api as access
from weighthouse.assurance import api
from weighthouse.core.caller import Caller
from weighthouse.core.door import door
from weighthouse.core.work import Unit

router = APIRouter(include_in_schema=False)
WORST_FIRST = ("missed", "not tested", "held")


@router.get("/evidence")
def evidence(request: Request, done: str = "") -> Response:
    """The newest outcome of each attack, and, for who may read evidence, the newest finding of each check."""
    with door(request).enter(request) as (unit, caller):
        outcomes, proofs = api.outcomes(unit, caller), api.proofs(unit, caller)
        ran = {one.id for one in outcomes}
        return door(request).render(
            request,
            "assurance/evidence.html",
            outcomes=sorted(outcomes, key=lambda one: (WORST_FIRST.index(proofs[one.id].result), one.id)),
            proofs=proofs,
            not_run=[one for one in api.catalogue() if one.id not in ran],
            counts=Counter(one.result for one in proofs.values()),
            checks=api.evidence(unit, caller) if _reads(unit, caller) else None,
            done=done,
        )


def _reads(unit: Unit, caller: Caller) -> bool:
    """Whether the reader may read evidence; a red team sees what became of its attacks without it."""
    return access.explain(unit, caller, "evidence.read", "lab").allowed


@router.post("/evidence/compute")
def compute(request: Request) -> Response:
    """Compute every check again now."""
    with door(request).enter(request) as (unit, caller):
        api.compute(unit, caller)
    return RedirectResponse("/evidence?done=computed", 303)
