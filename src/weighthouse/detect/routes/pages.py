"""The alerts page. Guards alerts from those they are about: the room decides who may see and who acknowledges."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.core.door import door
from weighthouse.detect import api

router = APIRouter(include_in_schema=False)


@router.get("/alerts")
def alerts(request: Request, done: str = "") -> Response:
    """Alerts, newest first, with what was done at once and what each rests on."""
    with door(request).enter(request) as (unit, caller):
        return door(request).render(request, "detect/alerts.html", alerts=api.alerts(unit, caller), done=done)


@router.post("/alerts/{alert}/acknowledge")
def acknowledge(request: Request, alert: str, note: Annotated[str, Form(max_length=api.NOTE_LIMIT)] = "") -> Response:
    """Put on record that the reader has looked at it."""
    with door(request).enter(request) as (unit, caller):
        api.acknowledge(unit, caller, alert, note)
    return RedirectResponse("/alerts?done=acknowledged", 303)
