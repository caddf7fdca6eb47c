"""Pages of runs: the list, and one run with live status, loss curve, output, its ways out, and a way to stop it.

Guards the reader from a workload's own words: notes and output are shown as text that cannot act, and the facts of
the sandbox are what was seen from inside. Without JavaScript a reload shows the same.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from weighthouse.core import paging, visible
from weighthouse.core.door import Cursor, door
from weighthouse.core.work import Unit
from weighthouse.egress import api as egress
from weighthouse.runs import api
from weighthouse.runs.routes import form
from weighthouse.runs.rules.curves import draw

router = APIRouter(include_in_schema=False)
router.include_router(form.router)

PAGE = 50
SHOWN_LINES = 200
PAGE_LINES = 500
_DONE = {
    "stopped": "Asked to stop. The sandbox ends in a moment, and the run's identity counts no more.",
    "submitted": "Submitted. It starts as soon as a place on this server is free; this page keeps itself fresh.",
}


@router.get("/runs")
def runs(request: Request, cursor: Cursor = None) -> Response:
    """Runs the reader may see, newest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        here = paging.links(api.listing(unit, caller, cursor=cursor, limit=PAGE), "/runs")
        return door(request).render(request, "runs/runs.html", runs=here.items, here=here, newest=cursor is None)


@router.get("/runs/{run}")
def run(request: Request, run: str, done: str = "") -> Response:
    """One run: what was asked for, what it is executed in, and how it goes."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.get(unit, caller, run)
        lines = api.tail(unit, caller, run, SHOWN_LINES)
        return door(request).render(
            request,
            "runs/run.html",
            run=found,
            open=found.state in api.OPEN,
            lines=lines,
            last_line=lines[-1].number if lines else 0,
            curve=draw(api.curve(unit, caller, run)),
            way=egress.way_of(unit, found.id),
            profile=_profile(unit, found.order.egress_profile),
            done=_DONE.get(done, ""),
        )


def _profile(unit: Unit, name: str) -> object:
    return next((one for one in egress.profiles(unit) if one.id == name), None)


@router.get("/runs/{run}/output")
def output(request: Request, run: str, after: Annotated[int, Query(ge=0, le=2**52)] = 0) -> Response:
    """The kept output of a run from its beginning, a page at a time."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.get(unit, caller, run)
        lines = api.logs(unit, caller, run, after, PAGE_LINES)
        last = api.tail(unit, caller, run, 1)
        total = last[0].number if last else 0
        here = f"/runs/{found.id}/output?after="
        shown = f"{lines[0].number} to {lines[-1].number} of {total}" if lines else ""
        return door(request).render(
            request,
            "runs/output.html",
            run=found,
            lines=lines,
            earlier=f"{here}{max(0, after - PAGE_LINES)}" if after else None,
            later=f"{here}{lines[-1].number}" if lines and lines[-1].number < total else None,
            shown=shown,
        )


@router.get("/runs/{run}/live")
def live(request: Request, run: str, after: Annotated[int, Query(ge=0, le=2**53)] = 0) -> Response:
    """What has changed on the page of one run, for the script that keeps it fresh: nobody need sit before it."""
    with door(request).enter(request, write=False, use=False) as (unit, caller):
        found = api.get(unit, caller, run)
        lines = api.logs(unit, caller, run, after=after)
        curve = draw(api.curve(unit, caller, run))
    last = lines[-1].number if lines else after
    facts: dict[str, Any] = {
        "state": found.state,
        "progress": found.progress,
        "percent": f"{found.progress / 10:.1f}",
        "loss": "–" if found.loss_micro is None else f"{found.loss_micro / 1_000_000:.4f}",
        "note": _plain(found.note),
        "lines": [_plain(line.text) for line in lines],
        "curve": curve.line if curve else None,
        "lowest": f"{curve.lowest:.4f}" if curve else None,
        "next": f"/runs/{found.id}/live?after={last}",
        "done": found.state not in api.OPEN,
    }
    return JSONResponse(facts)


def _plain(text: str) -> str:
    """Make characters visible that would act on the reader's screen, as the page's own templates do."""
    return visible.marked(text, lines=True)


@router.post("/runs/{run}/stop")
def stop(request: Request, run: str, reason: Annotated[str, Form(min_length=1, max_length=500)]) -> Response:
    """Ask the run to stop."""
    with door(request).enter(request) as (unit, caller):
        api.stop(unit, caller, run, reason)
    return RedirectResponse(f"/runs/{run}?done=stopped", 303)
