"""How a request or a grant ended, as the log tells. Guards readers from columns, which say whatever somebody wrote.

Attack: let the row of a request say that it was denied, or still that it waits, and its people act on that. So an end
is shown from its line; one that only the memory outside the database knows is shown as over; one that only a row
knows is not shown as an end, for it is none: `tidying` takes it back.
"""

from __future__ import annotations

import msgspec

from weighthouse.access.api.sealing import open_grant
from weighthouse.access.events import (
    GrantEnded,
    RequestApproved,
    RequestDenied,
    RequestLapsed,
    RequestOvertaken,
    RequestWithdrawn,
)
from weighthouse.access.model import Grant, Request, RequestState, grant_of
from weighthouse.access.ports import Refusals
from weighthouse.access.store import grants as grant_rows
from weighthouse.audit import api as audit
from weighthouse.core.work import Unit

CLOSED = "access.request_closed"
_STATES: dict[str, tuple[RequestState, str]] = {
    RequestDenied.KIND: ("denied", "by"),
    RequestWithdrawn.KIND: ("withdrawn", ""),
    RequestOvertaken.KIND: ("invalidated", "why"),
    RequestLapsed.KIND: ("invalidated", "why"),
    RequestApproved.KIND: ("approved", ""),
}
_REQUEST_ENDS = tuple(audit.Lines(kind) for kind in _STATES)
_GRANT_ENDS = audit.Lines(GrantEnded.KIND)
TIME = "time"


def end_of_request(unit: Unit, request_id: str) -> audit.Entry | None:
    """Return the newest line that tells of a request's end."""
    found = [line for lines in _REQUEST_ENDS if (line := lines.newest(unit, request_id)) is not None]
    return max(found, key=lambda line: line.index, default=None)


def end_of_grant(unit: Unit, grant_id: str) -> audit.Entry | None:
    """Return the newest line that tells of a grant's end."""
    return _GRANT_ENDS.newest(unit, grant_id)


def granted(unit: Unit, request_id: str) -> bool:
    """Whether the sealed grant of a request is there."""
    row = grant_rows.find(unit.conn, grant_of(request_id))
    sealed = open_grant(unit, row) if row is not None else None
    return sealed is not None and sealed.grant.request.id == request_id


def as_it_stands(unit: Unit, request: Request) -> Request:
    """The request with its state as the log tells it, or the memory, its sealed time or its sealed grant."""
    over = unit.part(Refusals).closed(request.id)
    if request.state == "pending" and not over:
        return request
    line = end_of_request(unit, request.id)
    if line is not None:
        state, field = _STATES[line.kind]
        why = str(line.data[field]) if field else ""
        state = "lapsed" if why == TIME and line.kind == RequestLapsed.KIND else state
        return msgspec.structs.replace(request, state=state, settled=line.at, settled_why=why)
    if over and request.state == "pending":
        return msgspec.structs.replace(request, state="invalidated", settled=None, settled_why=CLOSED)
    if over or unit.now >= request.lapses or granted(unit, request.id):
        return request
    return msgspec.structs.replace(request, state="pending", settled=None, settled_why="")


def grant_as_it_stands(unit: Unit, grant: Grant) -> Grant:
    """An ended grant with its end as the log tells it; one that a row alone says is over does not count, and is not
    over either."""
    line = end_of_grant(unit, grant.id)
    if line is not None:
        data = line.data
        return msgspec.structs.replace(grant, ended=line.at, ended_why=data["why"], ended_by=data["by"])
    if unit.part(Refusals).closed(grant.id):
        return msgspec.structs.replace(grant, ended_why=grant.ended_why or "access.grant_ended")
    if grant.ended is None or unit.now >= grant.end:
        return grant
    return msgspec.structs.replace(
        grant, state="active", ended=None, ended_why="access.grant_row_differs", ended_by=""
    )
