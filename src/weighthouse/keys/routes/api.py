"""What may be known about keys over HTTP: names, versions and health, for whoever may read evidence."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request

from weighthouse.core import paging
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.keys import api

router = APIRouter(prefix="/api/v1", tags=["keys"])


@router.get("/keys")
def list_keks(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """Key encryption keys by name, with their versions. Needs `evidence.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        return paging.answer(
            paging.window(api.keks(unit, caller), limit, "keys", lambda one: (one.name,), cursor, (str,))
        )


@router.get("/keys/health")
def read_health(request: Request) -> dict[str, Any]:
    """Whether the key service wraps and unwraps now. Needs `evidence.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        api.keks(unit, caller)
        health: dict[str, Any] = msgspec.to_builtins(api.health(unit))
        return health
