"""assurance's JSON endpoints. Evidence is computed here on demand, attacks are run; nothing can be typed in."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from weighthouse.assurance import api
from weighthouse.core import paging
from weighthouse.core.answers import Done, once_told
from weighthouse.core.canonical import digest
from weighthouse.core.door import Cursor, Limit, door

router = APIRouter(prefix="/api/v1", tags=["assurance"])

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]


class Attack(BaseModel):
    """Which scenarios to run; none named means all."""

    model_config = ConfigDict(extra="forbid", strict=True)
    scenarios: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list, max_length=500)


def _outcome(one: api.Outcome) -> dict[str, Any]:
    return {**msgspec.to_builtins(one), "held": one.held}


@router.get("/evidence")
def read_evidence(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """Every check with its newest finding. Needs `evidence.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        return paging.answer(paging.ranked(api.evidence(unit, caller), limit, "evidence", cursor))


@router.post("/evidence/compute")
def compute_evidence(request: Request, key: Key = None) -> dict[str, Any]:
    """Compute every check now and put the findings into the log. Needs `evidence.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        found: list[Any] = once_told(
            unit,
            key,
            digest(["evidence"]),
            lambda: api.compute(unit, caller),
            lambda _: api.evidence(unit, caller),  # for whoever may read it now
            done=lambda _: Done(),
            keeps=Done,
        )
        return paging.answer(paging.Page(found))


@router.get("/attacks")
def read_attacks(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """The catalogue, each scenario with its newest outcome and, in `proves`, what all its outcomes prove of this very
    system now: held, missed, or not tested, and why. Needs `redteam.run` or `evidence.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        newest = {one.id: _outcome(one) for one in api.outcomes(unit, caller)}
        proofs = {name: msgspec.to_builtins(one) for name, one in api.proofs(unit, caller).items()}
        found = paging.ranked(api.catalogue(), limit, "attacks", cursor)
        told = found.of(lambda one: {**_scenario(one), "newest": newest.get(one.id), "proves": proofs[one.id]})
        return paging.answer(told)


def _scenario(one: api.Scenario) -> dict[str, Any]:
    return {
        "id": one.id,
        "title": one.title,
        "techniques": list(one.techniques),
        "steps": list(one.steps),
        "expected": msgspec.to_builtins(one.expected),
        "on": one.on,
    }


@router.post("/attacks/run")
def run_attacks(request: Request, body: Attack) -> dict[str, Any]:
    """Run scenarios on the ground this server offers. Needs `redteam.run`; 503 where there is no ground."""
    with door(request).enter(request) as (unit, caller):
        ground = api.ground(unit, caller)
    outcomes = api.run(ground.system, body.scenarios, ground, caller=caller)
    return paging.answer(paging.Page([_outcome(one) for one in outcomes]))
