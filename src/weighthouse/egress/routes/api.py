"""Budgets and profiles over HTTP. Parses, calls the room, renders; decides nothing."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from weighthouse.access import api as access
from weighthouse.core.door import door
from weighthouse.egress import api

POLICY_LIMIT = 1024 * 1024

router = APIRouter(prefix="/api/v1")


class PolicyText(BaseModel):
    """A policy text and the name by which messages call it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Annotated[str, Field(min_length=1, max_length=120)]
    text: Annotated[str, Field(max_length=POLICY_LIMIT)]


@router.get("/egress/budgets")
def budgets(request: Request) -> dict[str, Any]:
    """List every account with its windows, and how long a theft would take at the present caps."""
    with door(request).enter(request, write=False) as (unit, caller):
        return {"items": [msgspec.to_builtins(found) for found in api.budgets(unit, caller)], "next": None}


@router.post("/egress/check")
def check(request: Request, body: PolicyText) -> dict[str, Any]:
    """Name the models of a policy text that could be carried out before anybody stops it, under these settings."""
    with door(request).enter(request, write=False) as (unit, caller):
        _, lab, _ = access.plan_policy(unit, caller, body.text, body.name)
        return {"items": [msgspec.to_builtins(one) for one in api.unheld(unit.system.settings, lab)], "next": None}


@router.get("/egress/profiles")
def profiles(request: Request) -> dict[str, Any]:
    """List the profiles a run may name, with their entries, owners, reasons and ends."""
    with door(request).enter(request, write=False) as (unit, caller):
        return {"items": [msgspec.to_builtins(found) for found in api.profiles(unit, caller)], "next": None}
