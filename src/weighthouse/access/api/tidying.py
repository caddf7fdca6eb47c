"""Writing down what is over. Guards nothing: enforcement reads the end itself. It keeps rows and log from lagging.

What it writes comes from sealed content. A row whose columns say that something is over when the seal does not is
somebody else's work: it is set aside with one line, so that no false end stands in the log.
"""

from __future__ import annotations

from weighthouse.access.api.sealing import agrees, open_grant, open_request
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.events import GrantEnded, HoldPlaced, RequestDenied, RequestLapsed, RequestWithdrawn
from weighthouse.access.ports import Refusals
from weighthouse.access.store import grants as rows
from weighthouse.access.store import requests as request_rows
from weighthouse.audit import api as audit
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

BATCH = 500
_REFUSED = tuple(audit.Lines(one.KIND, by="") for one in (GrantEnded, HoldPlaced, RequestDenied, RequestWithdrawn))


def tidy(unit: Unit, limit: int = BATCH) -> int:
    """Mark what time has ended and remember outside what the rows say is over. Enforcement never needs this.

    Returns how many rows were marked; run again while it returns `limit`.
    """
    done = sum(_expire(unit, row) for row in rows.past_end(unit.conn, unit.now, limit))
    done += sum(_lapse(unit, id_) for id_ in request_rows.overdue(unit.conn, unit.now, limit))
    refusals = unit.part(Refusals)
    over = [*rows.ended_early(unit.conn, unit.now, limit), *request_rows.settled_ids(unit.conn, limit)]
    late = [id_ for id_ in over if not refusals.closed(id_)]
    if late:  # a crash between commit and the memory left these; nothing here opens anything
        refusals.close(late)
    return done


def _expire(unit: Unit, row: rows.StoredGrant) -> bool:
    sealed = open_grant(unit, row)
    if sealed is None or not agrees(row, sealed.grant):
        if rows.end(unit.conn, row.id, unit.now, "refused", "system"):
            code = "access.grant_seal" if sealed is None else "access.grant_row_differs"
            audit.append(unit, _set_aside(unit, "grant.expire", row.id, code))
        return True
    grant = sealed.grant
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
            audit.append(unit, _set_aside(unit, "request.lapse", request_id, "access.request_seal"))
        return True
    if unit.now < request.lapses:
        request_rows.mend_lapses(unit.conn, request_id, request.lapses)
        audit.append(unit, _set_aside(unit, "request.lapse", request_id, "access.request_row_differs"))
        return True
    if request_rows.settle(unit.conn, request_id, found.row, "lapsed", "time", unit.now):
        audit.append(unit, RequestLapsed(request_id=request_id, why="time"))
    return True


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
