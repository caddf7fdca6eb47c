"""Pages of runs: the list, and one run with live status, loss, output, and a way to stop it.

Guards the reader from a workload's own words: notes and output are shown as text that cannot act, and the facts of
the sandbox are what was seen from inside. Without JavaScript a reload shows the same.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from weighthouse.core.door import door
from weighthouse.runs import api

router = APIRouter(include_in_schema=False)

PAGE = 50
SHOWN_LINES = 400
_DONE = {"stopped": "Asked to stop. The sandbox ends in a moment, and the run's identity counts no more."}


@router.get("/runs")
def runs(request: Request, before: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """Runs the reader may see, newest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.page(unit, caller, before=before, limit=PAGE)
        older = found[-1].id if len(found) == PAGE else None
        return door(request).render(request, "runs/runs.html", runs=found, older=older)


@router.get("/runs/{run}")
def run(request: Request, run: str, done: str = "") -> Response:
    """One run: what was asked for, what it is executed in, and how it goes."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.get(unit, caller, run)
        lines = api.logs(unit, caller, run)[-SHOWN_LINES:]
        return door(request).render(
            request,
            "runs/run.html",
            run=found,
            open=found.state in api.OPEN,
            lines=lines,
            last_line=lines[-1].number if lines else 0,
            done=_DONE.get(done, ""),
        )


@router.get("/runs/{run}/live")
def live(request: Request, run: str, after: Annotated[int, Query(ge=0, le=2**53)] = 0) -> Response:
    """What has changed on the page of one run, for the script that keeps it fresh."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.get(unit, caller, run)
        lines = api.logs(unit, caller, run, after=after)
    last = lines[-1].number if lines else after
    facts: dict[str, Any] = {
        "state": found.state,
        "progress": found.progress,
        "percent": f"{found.progress / 10:.1f}",
        "loss": "–" if found.loss_micro is None else f"{found.loss_micro / 1_000_000:.4f}",
        "note": found.note,
        "lines": [line.text for line in lines],
        "next": f"/runs/{found.id}/live?after={last}",
        "done": found.state not in api.OPEN,
    }
    return JSONResponse(facts)


@router.post("/runs/{run}/stop")
def stop(request: Request, run: str, reason: Annotated[str, Form(min_length=1, max_length=500)]) -> Response:
    """Ask the run to stop."""
    with door(request).enter(request) as (unit, caller):
        api.stop(unit, caller, run, reason)
    return RedirectResponse(f"/runs/{run}?done=stopped", 303)
