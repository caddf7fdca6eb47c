"""The alerts page. Guards alerts from those they are about: the room decides who may see, acknowledge and act.

A responder ends the session or freezes the person of an alert from here in one step; both leave a line in the log.
To open again what was closed takes a key that counts already, so the page shows the command for it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.access import api as access
from weighthouse.core.door import Cursor, door
from weighthouse.core.paging import links
from weighthouse.detect import api

router = APIRouter(include_in_schema=False)

PAGE = 25
Because = Annotated[str, Form(min_length=1, max_length=500)]
_DONE = {
    "acknowledged": "Noted. Your name and note are in the log.",
    "session-ended": "The session has ended. Its next request is refused, everywhere.",
    "key-ended": "The key signs nothing any more, and its sessions have ended.",
    "frozen": "Frozen. Every session of theirs has ended, and nobody signs in as them until somebody thaws them.",
}


@router.get("/alerts")
def alerts(request: Request, done: str = "", cursor: Cursor = None) -> Response:
    """Alerts, newest first, with what was done at once and what each rests on."""
    with door(request).enter(request) as (unit, caller):
        here = links(api.alerts_page(unit, caller, cursor=cursor, limit=PAGE), "/alerts")
        may_freeze = access.explain(unit, caller, "person.freeze", "lab").allowed
        return door(request).render(
            request,
            "detect/alerts.html",
            alerts=here.items,
            newer=here.newer,
            older=here.older,
            shown=here.shown,
            may_end=access.explain(unit, caller, "session.end", "lab").allowed,
            may_freeze=may_freeze,
            frozen={str(one.id): one.frozen_reason for one in api.frozen(unit, caller)} if may_freeze else {},
            keys=api.keys_about(unit, caller, (one.principal for one in here.items)),
            names=access.names(unit),
            done=_DONE.get(done, ""),
        )


@router.post("/alerts/{alert}/acknowledge")
def acknowledge(request: Request, alert: str, note: Annotated[str, Form(max_length=api.NOTE_LIMIT)] = "") -> Response:
    """Put on record that the reader has looked at it."""
    with door(request).enter(request) as (unit, caller):
        api.acknowledge(unit, caller, alert, note)
    return RedirectResponse("/alerts?done=acknowledged", 303)


@router.post("/alerts/{alert}/end-session")
def end_session(request: Request, alert: str, reason: Because) -> Response:
    """End the session that an alert is about."""
    with door(request).enter(request) as (unit, caller):
        found = api.alert(unit, caller, alert)
        api.end_session(unit, caller, found.principal, found.session, reason)
    return RedirectResponse("/alerts?done=session-ended", 303)


@router.post("/alerts/{alert}/end-key")
def end_key(request: Request, alert: str, device: Annotated[str, Form(max_length=64)], reason: Because) -> Response:
    """End one key of the person that an alert is about."""
    with door(request).enter(request) as (unit, caller):
        api.end_key(unit, caller, api.alert(unit, caller, alert).principal, device, reason)
    return RedirectResponse("/alerts?done=key-ended", 303)


@router.post("/alerts/{alert}/freeze")
def freeze(request: Request, alert: str, reason: Because) -> Response:
    """End every session of the person that an alert is about, and let nobody sign in as them."""
    with door(request).enter(request) as (unit, caller):
        api.freeze(unit, caller, api.alert(unit, caller, alert).principal, reason)
    return RedirectResponse("/alerts?done=frozen", 303)
