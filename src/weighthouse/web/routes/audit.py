"""The audit explorer: entries, one entry, and its proof. Guards readers from having to believe this page.

It lives here and not in the audit room because reading the log is decided by access, a floor above it. Each entry
shown was checked against the signed head; the proof and the entry's very bytes can be saved and checked by a program
that shares no code with this server.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.door import door
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.web.words import stamp

router = APIRouter(include_in_schema=False)

PAGE = 50
_MILLISECONDS = 1_500_000_000_000  # a whole number beyond this is a time of this century, in the log's own unit
Filter = Annotated[str, Query(max_length=200)]
Place = Annotated[int, Query(ge=0, le=2**53)]
Index = Annotated[int, Path(ge=0, le=2**53)]  # beyond 64 bits a database does not answer, it breaks


@router.get("/audit")
def log(request: Request, kind: Filter = "", subject: Filter = "", before: Place | None = None) -> Response:
    """Entries, newest first, all of them or by kind and by what they are about."""
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "audit.read", "lab")
        head = audit.head(unit)
        filters = {name: value for name, value in (("kind", kind.strip()), ("subject", subject.strip())) if value}
        if filters:
            found, newer, older = _filtered(unit, filters, before)
        else:
            found, newer, older = _straight(unit, head.size, head.size if before is None else before)
        recent = audit.entries(unit, limit=500, newest_first=True)
        return door(request).render(
            request,
            "audit/log.html",
            head_of_log=head,
            kind=kind,
            subject=subject,
            kinds=sorted({entry.kind for entry in recent}),
            entries=found,
            newer=newer,
            older=older,
        )


def _straight(unit: Unit, size: int, before: int) -> tuple[list[audit.Entry], str | None, str | None]:
    end = min(before, size)
    start = max(0, end - PAGE)
    found = audit.entries(unit, start=start, limit=end - start) if end else []
    newer = f"/audit?before={min(end + PAGE, size)}" if end < size else None
    return found[::-1], newer, f"/audit?before={start}" if start else None


def _filtered(
    unit: Unit, filters: dict[str, str], before: int | None
) -> tuple[list[audit.Entry], str | None, str | None]:
    found = audit.entries(
        unit,
        kind=filters.get("kind"),
        subject=filters.get("subject"),
        newest_first=True,
        end=before,
        limit=PAGE + 1,
    )
    here = "/audit?" + urlencode(filters)
    older = f"{here}&before={found[PAGE - 1].index}" if len(found) > PAGE else None
    return found[:PAGE], here if before is not None else None, older


def _entry(unit: Unit, caller: Caller, index: int) -> audit.Entry:
    access.require(unit, caller, "audit.read", "lab")
    return audit.entry(unit, index)


@router.get("/audit/log.vkey")
def key(request: Request) -> Response:
    """The log's verifier key as this server states it; an auditor compares it with one from elsewhere."""
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "audit.read", "lab")
        return PlainTextResponse("".join(one + "\n" for one in audit.keys(unit.system)))


@router.get("/audit/{index}")
def entry(request: Request, index: Index) -> Response:
    """One entry, its bytes, and how to prove that it is in the log."""
    with door(request).enter(request) as (unit, caller):
        found = _entry(unit, caller, index)
        shown = audit.reveal(unit, found)
        try:
            proof, unproven = audit.prove(unit, index), ""
        except WeighthouseError as error:
            proof, unproven = "", f"{error.message} {error.remedy}"
        return door(request).render(
            request,
            "audit/entry.html",
            entry=found,
            size=audit.head(unit).size,
            facts=[(name, _text(value)) for name, value in shown.items()],
            hidden=shown != found.data,
            leaf=found.leaf.decode(),
            proof=proof,
            unproven=unproven,
        )


def _text(value: object) -> str:
    if value == {"erased": True}:
        return "erased; the commitment in the tree stays"
    if value == {"missing": True}:
        return "missing: its row is gone, and no line says that its person was erased"
    if isinstance(value, int) and not isinstance(value, bool) and value > _MILLISECONDS:
        return f"{stamp(value)} ({value})"
    if value == [] or value == "":
        return "none"
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@router.get("/audit/{index}/proof.txt")
def proof(request: Request, index: Index) -> Response:
    """The proof alone, to save."""
    with door(request).enter(request) as (unit, caller):
        _entry(unit, caller, index)
        return PlainTextResponse(audit.prove(unit, index))


@router.get("/audit/{index}/leaf.json")
def leaf(request: Request, index: Index) -> Response:
    """The very bytes of one entry, to save."""
    with door(request).enter(request) as (unit, caller):
        return Response(_entry(unit, caller, index).leaf, media_type="application/octet-stream")
