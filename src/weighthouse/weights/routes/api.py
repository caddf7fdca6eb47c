"""The registry over HTTP for people: list, follow, open, export, destroy, undo that. Parse, ask the room, answer."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request

from weighthouse.core import paging
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.weights import api
from weighthouse.weights.routes.bodies import (
    BeginExport,
    BeginLoad,
    BeginSave,
    Commit,
    Destroy,
    DestroyModel,
    Nothing,
    raw_key,
)

router = APIRouter(prefix="/api/v1/weights", tags=["weights"])
Key = Annotated[str | None, Header(alias="Idempotency-Key")]


def _plain(value: object) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(value)
    return built


@router.get("/models")
def list_models(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """Models that the caller may know of, each with its class and newest version."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.models(unit, caller)
        return paging.answer(paging.window(found, limit, "models", lambda one: (one.id,), cursor, (str,)))


@router.get("/versions")
def list_versions(
    request: Request,
    model: Annotated[str, Query(max_length=260)],
    limit: Limit = paging.USUAL,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """A model's versions, newest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(api.versions_page(unit, caller, model, cursor=cursor, limit=limit))


@router.get("/versions/{version}")
def read_version(request: Request, version: str) -> dict[str, Any]:
    """One version, checked whole, with the order to destroy it if one is open."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.version(unit, caller, version)
        return {**_plain(found), "destruction": msgspec.to_builtins(api.destruction(unit, found.id))}


@router.post("/versions/{version}/tensors")
def list_tensors(request: Request, version: str, body: Nothing) -> dict[str, Any]:
    """Names, shapes and types of a version's tensors, for whoever may load it; charged and logged as a load."""
    with door(request).enter(request) as (unit, caller):
        return {**_plain(api.describe(unit, caller, version)), "next": None}


@router.get("/versions/{version}/lineage")
def read_lineage(
    request: Request, version: str, limit: Limit = paging.USUAL, cursor: Cursor = None
) -> dict[str, Any]:
    """A version and its ancestors, newest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(paging.ranked(api.lineage(unit, caller, version), limit, "lineage", cursor))


@router.get("/budget")
def read_budget(request: Request, model: Annotated[str, Query(max_length=260)]) -> dict[str, Any]:
    """The caller's own read budget for a model, in 24 hours."""
    with door(request).enter(request, write=False) as (unit, caller):
        return _plain(api.read_budget(unit, caller.principal, model))


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
    envelope = body.manifest.encode()
    with door(request).enter(request, write=False) as (unit, caller):
        system = unit.system
    # Outside of this unit, for it may take as long as reading all shards does. A second one decides anew.
    return _plain(api.take_and_commit(system, caller, save, envelope))


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


@router.post("/exports", status_code=201)
def export(request: Request, body: BeginExport, key: Key = None) -> dict[str, Any]:
    """Export a version to the destination that its approvers saw. No bundle is kept: a repeat is decided anew."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = api.export_once(unit, caller, body.version, body.destination, key)
        return answer


@router.post("/versions/{version}/destroy")
def destroy(request: Request, version: str, body: Destroy) -> dict[str, Any]:
    """Order the destruction of a version, under a grant for exactly that; it can be undone until it is final."""
    with door(request).enter(request) as (unit, caller):
        return _plain(api.destroy(unit, caller, version, body.reason))


@router.post("/models/destroy")
def destroy_model(request: Request, body: DestroyModel) -> dict[str, Any]:
    """Order the destruction of a model's key, under a grant that names its newest version; it can be undone until it
    is final."""
    with door(request).enter(request) as (unit, caller):
        return _plain(api.destroy_model(unit, caller, body.model, body.reason))


@router.post("/models/undestroy")
def undestroy_model(request: Request, body: DestroyModel) -> dict[str, Any]:
    """Undo an order to destroy a model's key, with a second factor for exactly that: for its people, or whoever may
    destroy this model."""
    with door(request).enter(request) as (unit, caller):
        api.undestroy_model(unit, caller, body.model, body.reason)
        return {"model": body.model, "state": "kept"}


@router.post("/versions/{version}/undestroy")
def undestroy(request: Request, version: str, body: Destroy) -> dict[str, Any]:
    """Undo an order to destroy a version, with a second factor for exactly that: for who gave it, who approved it, or
    who may destroy this version."""
    with door(request).enter(request) as (unit, caller):
        return _plain(api.undestroy(unit, caller, version, body.reason))
