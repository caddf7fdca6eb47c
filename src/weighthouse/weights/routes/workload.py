"""The registry as a run sees it, through the broker's socket. Guards nothing of its own: the same functions decide.

The broker ties the connection to one run; the token shows that the caller is that run. Mounted by the runs room's
broker application, never on the public listener.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request

from weighthouse.core.door import door
from weighthouse.weights import api
from weighthouse.weights.routes.bodies import BeginLoad, BeginSave, Commit, Nothing, raw_key

router = APIRouter(prefix="/workload/v1", tags=["workload"])


def _plain(value: object) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(value)
    return built


@router.post("/saves", status_code=201)
def begin_save(request: Request, body: BeginSave) -> dict[str, Any]:
    """Begin a save: names, a place and sealed data keys for one new version."""
    with door(request).enter(request) as (unit, caller):
        ticket = api.begin_save(
            unit,
            caller,
            model=body.model,
            parent=body.parent,
            shards=body.shards,
            recipient=raw_key(body.recipient),
            signer=raw_key(body.signer),
        )
        return _plain(ticket)


@router.post("/saves/{save}/commit")
def commit(request: Request, save: str, body: Commit) -> dict[str, Any]:
    """Commit a save's signed manifest; the version is visible from the answer on."""
    with door(request).enter(request) as (unit, caller):
        return _plain(api.commit(unit, caller, save, body.manifest.encode()))


@router.post("/loads", status_code=201)
def begin_load(request: Request, body: BeginLoad) -> dict[str, Any]:
    """Begin a load: the manifest, sealed data keys and a lease."""
    with door(request).enter(request) as (unit, caller):
        return _plain(api.begin_load(unit, caller, body.version, raw_key(body.recipient)))


@router.post("/leases/{lease}")
def renew(request: Request, lease: str, body: Nothing) -> dict[str, Any]:
    """Renew a reader's lease, if access still says yes."""
    with door(request).enter(request) as (unit, caller):
        return _plain(api.renew(unit, caller, lease))
