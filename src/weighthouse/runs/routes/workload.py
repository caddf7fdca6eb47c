"""What a run may ask of the control plane about itself: its token, and to keep its progress.

Guards the token: it is handed to whoever the broker's listener vouches for, over the one socket only that run has.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from weighthouse.core.door import door
from weighthouse.runs import api
from weighthouse.runs.routes.broker import SCOPE_KEY

router = APIRouter(prefix="/workload/v1")


class Progress(BaseModel):
    """What a workload says of itself: `progress` in thousandths, `loss` in millionths, one short line."""

    model_config = ConfigDict(extra="forbid", strict=True)

    progress: Annotated[int, Field(ge=0, le=1000)] | None = None
    loss: Annotated[int, Field(ge=-(2**52), le=2**52)] | None = None
    note: Annotated[str, Field(max_length=200)] = ""


@router.post("/token", openapi_extra={"security": []})
def token(request: Request) -> dict[str, Any]:
    """Return the token of the run whose socket this came through."""
    with door(request).anonymous(request, write=False) as unit:
        given, run = api.workload_token(unit, str(request.scope.get(SCOPE_KEY, "")))
        return {"token": given, "run": run.id, "must_end": run.must_end}


@router.post("/progress")
def progress(request: Request, body: Progress) -> dict[str, Any]:
    """Keep progress; shown on the run's page."""
    with door(request).enter(request) as (unit, caller):
        return {"kept": api.report(unit, caller, progress=body.progress, loss_micro=body.loss, note=body.note)}
