"""Pages of the registry: models with their versions, one version with its lineage. No page shows or sends weights.

What the reader may not know of is answered as if it did not exist; the room decides that, row by row.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weighthouse.core.door import door
from weighthouse.weights import api

router = APIRouter(include_in_schema=False)

NEWEST = 10


@router.get("/weights")
def models(request: Request) -> Response:
    """Every model the reader may know of, with its newest versions."""
    with door(request).enter(request) as (unit, caller):
        found = api.models(unit, caller)
        return door(request).render(
            request,
            "weights/models.html",
            models=[(model, api.versions(unit, caller, model.id, limit=NEWEST)) for model in found],
            newest=NEWEST,
        )


@router.get("/weights/{version}")
def version(request: Request, version: str) -> Response:
    """One version: its manifest digest, who saved it, and the chain of parents it continues."""
    with door(request).enter(request) as (unit, caller):
        chain = api.lineage(unit, caller, version)
        return door(request).render(
            request,
            "weights/version.html",
            version=chain[0],
            destruction=api.destruction(unit, chain[0].id),
            chain=chain,
            budget=api.read_budget(unit, str(caller.principal), chain[0].model),
        )
