"""The registry as a run sees it, through the broker's socket. Guards data keys: none is in any answer to a run.

The broker ties the connection to one run; the token shows that the caller is that run. What is decided is decided by
the same functions as for people; keys go to the run's lender. Mounted by the runs room's broker application, never on
the public listener.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request

from weighthouse.core.door import door
from weighthouse.weights import api
from weighthouse.weights.routes.api import commit
from weighthouse.weights.routes.bodies import Lend, Nothing, Write, raw_key

router = APIRouter(prefix="/workload/v1", tags=["workload"])

router.post("/saves/{save}/commit")(commit)


@router.post("/saves", status_code=201)
def begin_save(request: Request, body: Write) -> dict[str, Any]:
    """Begin a save: names and a place for one new version, whose data keys the run's lender has."""
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
    answer: dict[str, Any] = msgspec.to_builtins(api.write(unit.system, caller, ticket))
    return answer


@router.post("/loads", status_code=201)
def begin_load(request: Request, body: Lend) -> dict[str, Any]:
    """Begin a load: the manifest and a lease, under which the run's lender gives plaintext."""
    with door(request).enter(request) as (unit, caller):
        ticket = api.begin_load(unit, caller, body.version, raw_key(body.recipient))
    answer: dict[str, Any] = msgspec.to_builtins(api.lend(unit.system, caller, ticket))
    return answer


@router.post("/leases/{lease}")
def renew(request: Request, lease: str, body: Nothing) -> dict[str, Any]:
    """Renew a reader's lease, if access still says yes."""
    with door(request).enter(request) as (unit, caller):
        renewed = api.renew(unit, caller, lease)
    answer: dict[str, Any] = msgspec.to_builtins(api.extend(unit.system, caller, renewed))
    return answer
