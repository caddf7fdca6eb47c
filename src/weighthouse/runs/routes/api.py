"""Runs over HTTP, for the CLI and programs. Parses, calls the room, renders; decides nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from weighthouse.core import canonical, paging
from weighthouse.core.answers import once
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.runs import api
from weighthouse.runs.rules.orders import MAX_ARGUMENT, MAX_ARGUMENTS, MAX_CODE, MAX_FILES

router = APIRouter(prefix="/api/v1")

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key")]


class Submission(BaseModel):
    """A run to be queued. `wall_clock_s` is the longest it may take."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(max_length=200)]
    environment: Annotated[str, Field(max_length=80)]
    command: Annotated[list[Annotated[str, Field(max_length=MAX_ARGUMENT)]], Field(max_length=MAX_ARGUMENTS)]
    code: Annotated[dict[str, Annotated[str, Field(max_length=MAX_CODE)]], Field(max_length=MAX_FILES)]
    dataset: Annotated[str, Field(max_length=200)]
    parent: Annotated[str, Field(max_length=40)] | None = None
    risk: Literal["low", "high"] = "high"
    egress_profile: Annotated[str, Field(max_length=64)] = "none"
    wall_clock_s: Annotated[int, Field(ge=1, le=86_400)] = 600


class Stop(BaseModel):
    """Why a run is to be stopped."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[str, Field(min_length=1, max_length=500)]


def _plain(run: api.Run) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(run)
    return built


@router.post("/runs", status_code=201)
def submit(request: Request, body: Submission, key: IdempotencyKey = None) -> dict[str, Any]:
    """Queue a run."""
    with door(request).enter(request) as (unit, caller):
        fields = body.model_dump()
        fields["wall_clock"] = fields.pop("wall_clock_s") * 1000
        answer: dict[str, Any] = once(
            unit, key, canonical.digest(body.model_dump()), lambda: api.submit(unit, caller, **fields), keeps=api.Run
        )
        return answer


@router.get("/runs")
def list_runs(
    request: Request,
    limit: Limit = paging.USUAL,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List runs the caller may see, newest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(api.listing(unit, caller, cursor=cursor, limit=limit).of(_plain))


@router.get("/runs/environments")
def list_environments(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """List the environments a run may name."""
    with door(request).enter(request, write=False) as (unit, _):
        found = paging.window(
            api.environments(unit), limit, "environments", lambda one: (one.digest,), cursor, (str,)
        )
        return paging.answer(found.of(lambda one: {"digest": one.digest}))


@router.get("/runs/{run}")
def get(request: Request, run: str) -> dict[str, Any]:
    """Return one run."""
    with door(request).enter(request, write=False) as (unit, caller):
        return _plain(api.get(unit, caller, run))


@router.get("/runs/{run}/logs")
def logs(
    request: Request,
    run: str,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return kept output numbered above `after`; `next` goes on from its last line, null if nothing is newer."""
    place = paging.place_of(cursor, "logs", (int,))
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.logs(unit, caller, run, after if place is None else int(place.key[0]), limit)
        onward = paging.cursor("logs", (found[-1].number,)) if found else None
        return paging.answer(paging.Page(found, onward))


@router.post("/runs/{run}/stop")
def stop(request: Request, run: str, body: Stop, key: IdempotencyKey = None) -> dict[str, Any]:
    """Ask a run to stop."""
    with door(request).enter(request) as (unit, caller):
        fingerprint = canonical.digest({"run": run, **body.model_dump()})
        answer: dict[str, Any] = once(
            unit, key, fingerprint, lambda: api.stop(unit, caller, run, body.reason), keeps=api.Run, stops=True
        )
        return answer
