"""Writing down what is over. Guards what is not: a row that says so alone ends nothing.

What it writes comes from sealed content, and a thing is over when its sealed time, a line of the log or the memory
outside the database says so. Attack: let a row say "ended" or "denied" for one turn, and have that remembered for
good. Such a row is put back to what is true with one line, so that no false end stands anywhere.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from weakref import WeakKeyDictionary

from weighthouse.access.api.outcomes import end_of_grant, end_of_request, granted
from weighthouse.access.api.sealing import agrees, open_grant, open_request
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.events import (
    GrantEnded,
    HoldPlaced,
    RequestApproved,
    RequestDenied,
    RequestLapsed,
    RequestWithdrawn,
)
from weighthouse.access.model import grant_of
from weighthouse.access.ports import Refusals
from weighthouse.access.store import grants as rows
from weighthouse.access.store import requests as request_rows
from weighthouse.audit import api as audit
from weighthouse.core.work import System, Unit
from weighthouse.policy import api as policy

BATCH = 500
TELL_EVERY_S, _TOLD_KEPT = 3600.0, 10_000
_REFUSED = tuple(audit.Lines(one.KIND, by="") for one in (GrantEnded, HoldPlaced, RequestDenied, RequestWithdrawn))
# Up to which id the rows that say "over" were looked at, so that many honest ones hide none; and what was told when.
_seen: WeakKeyDictionary[System, dict[str, str]] = WeakKeyDictionary()
_told: WeakKeyDictionary[System, OrderedDict[str, float]] = WeakKeyDictionary()


def tidy(unit: Unit, limit: int = BATCH) -> int:
    """Mark what time has ended, and look at what rows say is over. Enforcement never needs this.

    Returns how many rows were marked; run again while it returns `limit`.
    """
    done = sum(_expire(unit, row) for row in rows.past_end(unit.conn, unit.now, limit))
    done += sum(_lapse(unit, id_) for id_ in request_rows.overdue(unit.conn, unit.now, limit))
    refusals = unit.part(Refusals)
    for id_ in _next(unit, "grants", rows.ended_early(unit.conn, unit.now, limit, _after(unit, "grants")), limit):
        if not refusals.closed(id_):
            _judge_grant(unit, id_)
    settled = request_rows.settled_early(unit.conn, unit.now, limit, _after(unit, "requests"))
    for id_ in _next(unit, "requests", settled, limit):
        if not refusals.closed(id_):
            _judge_request(unit, id_)
    return done


def _after(unit: Unit, name: str) -> str:
    return _seen.setdefault(unit.system, {}).get(name, "")


def _next(unit: Unit, name: str, found: list[str], limit: int) -> list[str]:
    _seen[unit.system][name] = found[-1] if len(found) == limit else ""
    return found


def _judge_grant(unit: Unit, grant_id: str) -> None:
    """A kill between a commit and the memory leaves a line, and so does another server; a row alone is mended."""
    row = rows.find(unit.conn, grant_id, lock=True)
    sealed = open_grant(unit, row) if row is not None else None
    if row is None or sealed is None or row.state == "active" or not agrees(row, sealed.grant):
        return
    if end_of_grant(unit, grant_id) is not None:
        unit.part(Refusals).close([grant_id])
    elif audit.unsaid(unit, f"access_grant {grant_id}"):
        rows.reopen(unit.conn, grant_id)
        _tell(unit, "grant.end", grant_id, "access.grant_row_differs")


def _judge_request(unit: Unit, request_id: str) -> None:
    found = request_rows.find(unit.conn, request_id, lock=True)
    request = open_request(unit, found) if found is not None else None
    if request is None or request.state == "pending" or request.id != request_id or unit.now >= request.lapses:
        return
    line = end_of_request(unit, request_id)
    if line is not None:
        said_yes = line.kind == RequestApproved.KIND
        unit.part(Refusals).close([request_id] if said_yes else [request_id, grant_of(request_id)])
    elif granted(unit, request_id):
        unit.part(Refusals).close([request_id])
    elif audit.unsaid(unit, f"access_request {request_id}"):
        request_rows.reopen(unit.conn, request_id)
        _tell(unit, "request.settle", request_id, "access.request_row_differs")


def _expire(unit: Unit, row: rows.StoredGrant) -> bool:
    sealed = open_grant(unit, row)
    if sealed is None or (row.id, row.request) != (sealed.grant.id, sealed.grant.request.id):
        if rows.end(unit.conn, row.id, unit.now, "refused", "system"):
            code = "access.grant_seal" if sealed is None else "access.grant_row_differs"
            _tell(unit, "grant.expire", row.id, code)
        return True
    grant = sealed.grant
    if not agrees(row, grant):
        rows.mend(unit.conn, grant)
        _tell(unit, "grant.expire", row.id, "access.grant_row_differs")
    if unit.now < grant.end:
        return True
    if rows.end(unit.conn, grant.id, grant.end, "expired", "system"):
        line = GrantEnded(
            grant=grant.id, principal=grant.person, resource=grant.resource, why="expired", by="system", text=""
        )
        audit.append(unit, line)
    return True


def _lapse(unit: Unit, request_id: str) -> bool:
    found = request_rows.find(unit.conn, request_id, lock=True)
    request = open_request(unit, found) if found is not None else None
    if found is None:
        return False
    if request is None:
        if request_rows.settle(unit.conn, request_id, found.row, "invalidated", "access.request_seal", unit.now):
            _tell(unit, "request.lapse", request_id, "access.request_seal")
        return True
    if unit.now < request.lapses:
        request_rows.mend_lapses(unit.conn, request_id, request.lapses)
        _tell(unit, "request.lapse", request_id, "access.request_row_differs")
        return True
    if request_rows.settle(unit.conn, request_id, found.row, "lapsed", "time", unit.now):
        audit.append(unit, RequestLapsed(request_id=request_id, why="time"))
    return True


def _tell(unit: Unit, action: str, row: str, code: str) -> None:
    """Leave one line an hour for each row: whoever writes it may write it again at every turn."""
    told, now, key = _told.setdefault(unit.system, OrderedDict()), time.monotonic(), f"{action} {row}"
    if now - told.get(key, -TELL_EVERY_S) < TELL_EVERY_S:
        return
    audit.append(unit, _set_aside(unit, action, row, code))

    def keep() -> None:
        told[key] = now
        while len(told) > _TOLD_KEPT:
            told.popitem(last=False)

    unit.after_commit(keep)


def _set_aside(unit: Unit, action: str, row: str, code: str) -> DeniedEvent:
    return DeniedEvent(
        principal="system",
        kind="system",
        action=action,
        resource=row[:64],
        code=code,
        rule="seal",
        grant="",
        policy_digest=policy.current(unit).digest,
        context={},
    )


def ever_refused(unit: Unit) -> bool:
    """Whether the log tells of anything that the memory of refusals must know: an end, a hold, a closed request."""
    return any(lines.any(unit) for lines in _REFUSED)
