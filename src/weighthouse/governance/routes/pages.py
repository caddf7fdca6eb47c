"""The committee's page: charter, seats, releases, motions and ballots. Guards the vote from looking like decoration.

What is shown is counted from the log by the room at each view; a ballot is signed in the browser by the member's own
device over the motion's digest, and there is no way here to answer for somebody else.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.access import api as access
from weighthouse.core import canonical, paging
from weighthouse.core.door import Cursor, door
from weighthouse.core.work import Unit
from weighthouse.governance import api
from weighthouse.governance.api import CHOICES, CLASSES, MotionView, ReleaseStatus
from weighthouse.policy import api as policy

router = APIRouter(include_in_schema=False)

_READING = ("committee.vote", "audit.read")
_LOOKING = ("committee.hold", "audit.read", "hold.place")
_DONE = {
    "called": "Your call is on record. It binds at once if you chair, or when a second member joins it.",
    "opened": "The motion is open. Members answer below, each with their own signature.",
    "ballot": "Your ballot counts. It is signed and in the log.",
    "closed": "Counted and closed. The outcome is in the log.",
}
PAGE = 25
Text = Annotated[str, Form(min_length=1, max_length=10_000)]
Short = Annotated[str, Form(min_length=1, max_length=200)]
Asked = Annotated[str, Query(min_length=1, max_length=1_000)]


@router.get("/committee")
def committee(request: Request, done: str = "", cursor: Cursor = None) -> Response:
    """Releases, motions, seats, and what the reader may bring before the committee."""
    with door(request).enter(request) as (unit, caller):
        charter, seats = api.charter_of(unit), access.seating(unit)
        may_read = any(access.explain(unit, caller, action, "lab").allowed for action in _READING)
        found = api.motions_page(unit, caller, cursor=cursor, limit=PAGE) if may_read else paging.Page([])
        here = paging.links(found, "/committee")
        return door(request).render(
            request,
            "governance/committee.html",
            charter=charter,
            vacancies=api.vacancies(unit),
            names=access.names(unit),
            releases=_releases(unit),
            motions=here.items,
            here=here,
            may_read=may_read,
            acts={view.motion.id: canonical.encode(_act(view)).decode() for view in here.items},
            statements={view.motion.id: canonical.encode(view.statement).decode() for view in here.items},
            choices=CHOICES,
            classes=CLASSES,
            seats=seats,
            sits=caller.principal in seats.sitting,
            looks=any(access.explain(unit, caller, action, "lab").allowed for action in _LOOKING),
            done=_DONE.get(done, ""),
        )


def _act(view: MotionView) -> dict[str, object]:
    """What a second factor for a ballot on this motion is bound to, but for the answer."""
    return {"type": "committee.ballot", "subject": view.motion.id, "parameters": {"digest": view.digest}}


def _releases(unit: Unit) -> list[ReleaseStatus]:
    models = (one for one in policy.current(unit).lab.resources.values() if one.kind == "model")
    return [api.release_status(unit, model.id) for model in models]


@router.get("/committee/holds/new")
def preview_hold(request: Request, model: Asked, reason: Asked) -> Response:
    """What a hold on a model's release would stop now, before the member calls for it."""
    with door(request).enter(request) as (unit, caller):
        would = api.preview_hold(unit, caller, model, access.HELD_ACTIONS)
        return door(request).render(request, "governance/hold_new.html", would=would, model=model, reason=reason)


@router.get("/committee/holds/{hold_id}")
def show_hold(request: Request, hold_id: str, cursor: Cursor = None) -> Response:
    """One hold, standing or lifted, and what it has stopped, the newest first."""
    with door(request).enter(request) as (unit, caller):
        shown = api.show_hold(unit, caller, hold_id)
        found = api.stopped_page(unit, caller, hold_id, cursor=cursor, limit=PAGE)
        here = paging.links(found, f"/committee/holds/{shown.hold.id}")
        logs = access.explain(unit, caller, "audit.read", "lab").allowed
        return door(request).render(
            request, "governance/hold.html", shown=shown, here=here, names=access.names(unit), logs=logs
        )


@router.post("/committee/holds")
def call_hold(request: Request, model: Short, reason: Text) -> Response:
    """Call for a hold on a model's release."""
    with door(request).enter(request) as (unit, caller):
        api.place_release_hold(unit, caller, model, reason)
    return RedirectResponse("/committee?done=called", 303)


@router.post("/committee/motions")
def open_motion(request: Request, cls: Short, subject: Short, text: Text) -> Response:
    """Put a question to the committee."""
    with door(request).enter(request) as (unit, caller):
        api.open_motion(unit, caller, cls, subject, text)
    return RedirectResponse("/committee?done=opened", 303)


@router.post("/committee/motions/{motion}/ballot")
def ballot(
    request: Request,
    motion: str,
    digest: Short,
    ballot: Short,
    at: Annotated[int, Form(ge=0, le=2**53)],
    device: Short,
    signature: Short,
) -> Response:
    """Cast the ballot that the browser has signed."""
    with door(request).enter(request) as (unit, caller):
        api.cast(unit, caller, motion, ballot, digest=digest, device=device, at=at, signature=signature)
    return RedirectResponse("/committee?done=ballot", 303)


@router.post("/committee/motions/{motion}/close")
def close(request: Request, motion: str) -> Response:
    """Count and close; refused below quorum."""
    with door(request).enter(request) as (unit, caller):
        api.close(unit, caller, motion)
    return RedirectResponse("/committee?done=closed", 303)
