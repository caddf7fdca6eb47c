"""Budgets and profiles over HTTP. Parses, calls the room, renders; decides nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request

from weighthouse.core.door import door
from weighthouse.egress import api

router = APIRouter(prefix="/api/v1")


@router.get("/egress/budgets")
def budgets(request: Request) -> dict[str, Any]:
    """List every account with its windows, and how long a theft would take at the present caps."""
    with door(request).enter(request, write=False) as (unit, caller):
        return {"items": [msgspec.to_builtins(found) for found in api.budgets(unit, caller)], "next": None}


@router.get("/egress/profiles")
def profiles(request: Request) -> dict[str, Any]:
    """List the profiles a run may name, with their entries, owners, reasons and ends."""
    with door(request).enter(request, write=False) as (unit, caller):
        return {"items": [msgspec.to_builtins(found) for found in api.profiles(unit, caller)], "next": None}
