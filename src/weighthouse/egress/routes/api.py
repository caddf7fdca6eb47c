"""Budgets and profiles over HTTP. Parses, calls the room, renders; decides nothing."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from weighthouse.access import api as access
from weighthouse.core import paging
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.egress import api
from weighthouse.egress.model import Level
from weighthouse.policy import api as policy

router = APIRouter(prefix="/api/v1")
_LEVELS = get_args(Level)


class PolicyText(BaseModel):
    """A policy text and the name by which messages call it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Annotated[str, Field(min_length=1, max_length=120)]
    text: Annotated[str, Field(max_length=policy.LAB_LIMIT)]


@router.get("/egress/budgets")
def budgets(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """List every account with its windows, and how long a theft would take at the present caps."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(paging.window(api.budgets(unit, caller), limit, "budgets", _account, cursor, (int, str)))


@router.post("/egress/check")
def check(request: Request, body: PolicyText) -> dict[str, Any]:
    """Name the models of a policy text that could be carried out before anybody stops it, under these settings."""
    with door(request).enter(request, write=False) as (unit, caller):
        _, lab, _ = access.plan_policy(unit, caller, body.text, body.name)
        return paging.answer(paging.Page(list(api.unheld(unit.system.settings, lab))))


@router.get("/egress/profiles")
def profiles(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """List the profiles a run may name, with their entries, owners, reasons and last days.

    `expires` is the UTC midnight that begins the last day of an entry, which is refused from the end of that day.
    """
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(
            paging.window(api.profiles(unit, caller), limit, "profiles", lambda one: (one.id,), cursor, (str,))
        )


def _account(one: api.Budget) -> paging.Key:
    """The lab's account first, then its models, profiles, runs and destinations, each by name."""
    return (_LEVELS.index(one.level), one.name)
