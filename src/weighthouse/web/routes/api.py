"""The log over HTTP, for auditors' programs. Guards readers from having to believe any answer: each can be proved.

It lives here for the same reason as the audit explorer: whether somebody may read the log is decided by access, a
floor above the audit room, and is asked before anything of the log is read.
"""

from __future__ import annotations

import base64
import io
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi import Path as InPath
from starlette.requests import Request

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import paging
from weighthouse.core.door import Cursor, door
from weighthouse.core.errors import TooMany

router = APIRouter(prefix="/api/v1", tags=["audit"])

Filter = Annotated[str | None, Query(max_length=200)]
Index = Annotated[int, InPath(ge=0, le=2**53)]  # beyond 64 bits a database does not answer, it breaks
EXPORT_LIMIT = 256 * 1024 * 1024


def _entry(entry: audit.Entry) -> dict[str, Any]:
    return {**msgspec.to_builtins(entry), "leaf": entry.leaf.decode()}


@router.get("/audit/entries")
def list_entries(
    request: Request,
    start: Annotated[int, Query(ge=0, lt=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    kind: Filter = None,
    subject: Filter = None,
    newest_first: bool = False,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Entries from `start` on, oldest first, or the newest ones not below it. Needs `audit.read`."""
    place = paging.place_of(cursor, "newest" if newest_first else "entries", (int,))
    begin, end = start, None
    if place is not None:
        begin, end = (start, int(place.key[0])) if newest_first else (int(place.key[0]) + 1, None)
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "audit.read", "lab")
        found = audit.entries(
            unit, start=begin, end=end, limit=limit + 1, kind=kind, subject=subject, newest_first=newest_first
        )
        made = paging.page(found, limit, "newest" if newest_first else "entries", lambda one: (one.index,), place)
        return paging.answer(made.of(_entry))


@router.get("/audit/entries/{index}")
def read_entry(request: Request, index: Index) -> dict[str, Any]:
    """One entry, with personal values in `clear` where they are still kept. Needs `audit.read`."""
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "audit.read", "lab")
        found = audit.entry(unit, index)
        return {**_entry(found), "clear": audit.reveal(unit, found)}


@router.get("/audit/entries/{index}/proof")
def prove_entry(request: Request, index: Index) -> dict[str, Any]:
    """The proof that an entry is in the signed log (C2SP tlog-proof), and its very bytes. Needs `audit.read`."""
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "audit.read", "lab")
        return {"proof": audit.prove(unit, index), "leaf": audit.entry(unit, index).leaf.decode()}


@router.get("/audit/head")
def read_head(request: Request) -> dict[str, Any]:
    """Where the log stands, with its signed checkpoint and what puts it in doubt. For everybody who is signed in."""
    with door(request).enter(request, write=False) as (unit, _):
        head: dict[str, Any] = msgspec.to_builtins(audit.head(unit))
        return {**head, "keys": list(audit.keys(unit.system)), "doubts": access.log_doubts(unit)}


@router.get("/audit/status")
def read_status(request: Request) -> dict[str, Any]:
    """How the log is: what waits, what is lost, how far the running check has come. Needs `audit.read`."""
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "audit.read", "lab")
        found: dict[str, Any] = msgspec.to_builtins(audit.condition(unit))
        return found


@router.get("/audit/export")
def export(request: Request) -> dict[str, Any]:
    """The whole log as a tar of plain files (C2SP tlog-tiles), base64 in `content`. Needs `audit.read`."""
    with door(request).enter(request) as (unit, caller), tempfile.TemporaryDirectory() as made:
        access.require(unit, caller, "audit.read", "lab")
        report = audit.export(unit, Path(made))
        if report.bytes > EXPORT_LIMIT:
            raise TooMany(
                "web.export_too_large",
                "The log has outgrown an export over HTTP, which is held in memory.",
                "Read it page by page: `weighthouse audit log --start INDEX`, or /api/v1/audit/entries.",
            )
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(made, arcname=".")
        return {"size": report.size, "files": report.files, "content": base64.b64encode(packed.getvalue()).decode()}
