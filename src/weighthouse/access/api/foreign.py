"""What was asked for in a session that was somebody else's. Guards access from outliving whose hands asked for it.

A session that its person, security or a detection ended from elsewhere was perhaps a thief's: what was asked for in
it is withdrawn, and what was given for that ends, whoever approved it. Saying "this was not me" takes back everything
that was asked for in the person's name until then, since nobody knows in which session. To ask again is easy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from weighthouse.access.api.grants import end_grant
from weighthouse.access.api.owing import owed
from weighthouse.access.api.requests import settle
from weighthouse.access.api.sealing import open_grant, open_request
from weighthouse.access.events import RequestLapsed
from weighthouse.access.model import Request, grant_of
from weighthouse.access.ports import Refusals
from weighthouse.access.store import grants as grant_rows
from weighthouse.access.store import requests as rows
from weighthouse.access.store.grants import StoredGrant
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity

ENDED = "access.session_ended"
_ENDED = audit.Lines("identity.SessionEnded")
Concerns = Callable[[Request], bool]


def ended(unit: Unit, person: str, act: audit.Entry) -> bool:
    """Whether the very session of an act was ended from elsewhere. A stop of everything reaches back by its line."""
    session = str(act.data.get("session", ""))
    return bool(session) and identity.ended_by_another(unit, session, person)


def ender(unit: Unit, act: audit.Entry) -> str:
    """Who ended the session in which this was done, by the log; the system, where that does not tell."""
    session = str(act.data.get("session", ""))
    ended = _ENDED.newest(unit, session) if session else None
    return str(ended.data["by"]) if ended is not None else SYSTEM.principal


def settle_session(unit: Unit, person: str, session: str, by: str) -> int:
    """Take back what was asked for in `session`, if that was ended from elsewhere; return how much."""
    if not session or not identity.ended_by_another(unit, session, person):
        return 0
    return _settle(unit, person, by, lambda request: request.session == session)


def settle_person(unit: Unit, person: str, until: Millis, by: str) -> int:
    """Take back everything that was asked for in the name of `person` until a moment; return how much."""
    return _settle(unit, person, by, lambda request: request.created <= until)


def refuse_foreign(unit: Unit, request: Request) -> Conflict:
    """The refusal to approve what was somebody else's, which is over from now on, with its one line. Attack: hide the
    request while its person says "this was not me", and have two honest people put a grant of it on record."""
    line = RequestLapsed(request_id=request.id, why=ENDED)
    unit.part(Refusals).close([request.id, grant_of(request.id)], owed(unit, request.id, line))
    return Conflict(
        "access.request_closed",
        "This was asked for in a session that is not believed to have been its person's, so it is over.",
        "If the person wants it, they ask anew.",
        record=[line],
    )


def _settle(unit: Unit, person: str, by: str, concerns: Concerns) -> int:
    count = 0
    for row in _given(unit, person, concerns):
        end_grant(unit, row, "revoked", by, "the session in which it was asked for was ended")
        count += 1
    for request in _open(unit, rows.pending_of(unit.conn, person, unit.now), concerns):
        settle(unit, request, "invalidated", ENDED)
        audit.append(unit, RequestLapsed(request_id=request.id, why=ENDED))
        count += 1
    return count


def _given(unit: Unit, person: str, concerns: Concerns) -> Iterator[StoredGrant]:
    for row in grant_rows.running(unit.conn, person, unit.now):
        sealed = open_grant(unit, row)
        if sealed is not None and not unit.part(Refusals).closed(row.id) and concerns(sealed.grant.request):
            yield row


def _open(unit: Unit, waiting: Iterable[rows.StoredRequest], concerns: Concerns) -> Iterator[Request]:
    for row in waiting:
        request = open_request(unit, row)
        if request is not None and not unit.part(Refusals).closed(request.id) and concerns(request):
            yield request
