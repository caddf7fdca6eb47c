"""Grants after they have started. Guards their end: by time alone, by giving back, by revoking, and for good.

`valid_grant` is the check that every releasing point repeats. An end is remembered outside the database before it is
committed, so that no restored row undoes it; if the commit then fails, the grant is over all the same, and
its line follows (see `owing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from weighthouse.access.api.apart import remember
from weighthouse.access.api.calls import whole_stop_of
from weighthouse.access.api.decision import authorise
from weighthouse.access.api.facts import person_of
from weighthouse.access.api.outcomes import grant_as_it_stands
from weighthouse.access.api.owing import close, owed
from weighthouse.access.api.sealing import Sealed, open_grant
from weighthouse.access.api.stopping import stops
from weighthouse.access.api.verifying import standing_of
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.events import GrantEnded
from weighthouse.access.model import EndReason, Grant, named_version
from weighthouse.access.ports import Refusals
from weighthouse.access.rules import reasons as words
from weighthouse.access.rules import wording
from weighthouse.access.store import grants as rows
from weighthouse.audit import api as audit
from weighthouse.core import paging, visible
from weighthouse.core.brief import briefly
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound
from weighthouse.core.ids import check_id
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def valid_grant(unit: Unit, grant_id: str) -> Grant:
    """Return the grant if it counts at this moment; raise Denied with one line otherwise.

    Checks the seal, the row, ends kept outside the database, every vote's signature, the voters and the requester as
    they are today, today's policy, holds, and time. `end` of the returned grant is the end that counts today.
    """
    bundle = policy.current(unit)
    row = rows.find(unit.conn, check_id(grant_id, "grt"))
    if row is None:
        _refuse(unit, bundle, grant_id, "", "", "access.no_such_grant", "There is no such grant.")
    found = standing_of(unit, bundle, row)
    if found.problem or found.grant is None:
        reason = words.grant_reason(found.problem, grant_id)
        _refuse(unit, bundle, grant_id, row.person, row.resource, reason.code, reason.text)
    grant = found.grant
    if not grant.not_before <= unit.now < found.end:
        text = "The grant is not valid at this time; it has ended or not begun."
        _refuse(unit, bundle, grant_id, grant.person, grant.resource, "access.grant_expired", text)
    version = named_version(grant.request.operation)
    stop = whole_stop_of(unit, sorted(found.actions), grant.resource, grant.person, version)
    if stop is not None:
        text = "A hold stands against this; a hold beats every grant."
        _refuse(unit, bundle, grant_id, grant.person, grant.resource, "access.held", text, stop.hold)
    return msgspec.structs.replace(
        grant,
        end=found.end,
        request=msgspec.structs.replace(grant.request, actions=tuple(sorted(found.actions))),
    )


def _refuse(
    unit: Unit, bundle: policy.Bundle, grant: str, person: str, resource: str, code: str, text: str, hold: str = ""
) -> NoReturn:
    line = DeniedEvent(
        principal=person,
        kind="person",
        action="grant.use",
        resource=resource,
        code=code,
        rule="grant",
        grant=grant,
        policy_digest=bundle.digest,
        context={},
        hold=hold,
    )
    raise Denied(code, text, words.remedy_of(code), record=[line])


def grants_of(unit: Unit, caller: Caller, principal: str | None = None, limit: int = 100) -> list[Grant]:
    """The first of `grants_page`."""
    return grants_page(unit, caller, principal, limit=limit).items


def grants_page(
    unit: Unit, caller: Caller, principal: str | None = None, *, cursor: str | None = None, limit: int = 100
) -> paging.Page[Grant]:
    """The caller's grants, or another's for those who may read the log; ended ones too, after all that have not,
    the latest end first.

    A row whose seal does not hold is not a grant and is not among them, so a page may be shorter than `limit`.
    """
    bundle = policy.current(unit)
    person = person_of(unit, bundle, caller)
    if principal is not None and principal != person:
        authorise(unit, caller, "audit.read", policy.LAB_RESOURCE)
        person = principal
    place = paging.place_of(cursor, "grants", (int, int, int, str))
    asof, within = (unit.now, None) if place is None else _asof(place)
    cut = paging.page(
        rows.of_person(unit.conn, person, asof, within, limit + 1),
        limit,
        "grants",
        lambda row: (asof, *rows.rank(row, asof)),
        place,
    )
    return paging.Page(_believed(unit, bundle, cut.items), cut.next, cut.previous)


def _asof(place: paging.Place) -> tuple[Millis, paging.Place]:
    """When the listing began whose cursor this is, and the place in it."""
    return int(place.key[0]), msgspec.structs.replace(place, key=place.key[1:])


def _believed(unit: Unit, bundle: policy.Bundle, found_rows: list[rows.StoredGrant]) -> list[Grant]:
    """The grants of rows whose seal holds, each as it stands now."""
    found = []
    for row in found_rows:
        standing = standing_of(unit, bundle, row)
        grant = standing.grant
        if grant is None or standing.problem == "access.grant_row_differs":
            continue
        if grant.state == "ended":
            grant = grant_as_it_stands(unit, grant)
        elif unit.now >= standing.end:
            grant = msgspec.structs.replace(grant, state="ended", ended=standing.end, ended_why="expired")
        elif standing.problem:
            grant = msgspec.structs.replace(grant, ended_why=standing.problem)
        found.append(grant)
    return found


@stops
def give_back(unit: Unit, caller: Caller, grant_id: str) -> Grant:
    """End one's own grant early. Raises NotFound for another's, Conflict if it is over."""
    person = person_of(unit, policy.current(unit), caller)
    id_ = check_id(grant_id, "grt")
    # the lock lets one of two ends be first; whoever holds it for longer must not delay the no
    row = briefly(unit, lambda: rows.find(unit.conn, id_, lock=True), lambda: rows.find(unit.conn, id_))
    sealed = _sealed(unit, row, grant_id)
    if row is not None and sealed is not None and sealed.grant.person == person:
        return end_grant(unit, row, "surrendered", person, "")
    theirs = any(one.grant == grant_id for one in unit.part(Refusals).held_apart(person))
    if sealed is None and theirs:  # their own, as the memory knows, whatever became of its row
        raise _end_by_id(unit, row, grant_id, "surrendered", person, "")
    raise _no_such_grant()


def _sealed(unit: Unit, row: rows.StoredGrant | None, grant_id: str) -> Sealed | None:
    """What a row holds, if that is the sealed grant asked for: another's statement may stand there."""
    sealed = open_grant(unit, row) if row is not None else None
    return sealed if sealed is not None and sealed.grant.id == grant_id else None


@stops
def revoke(unit: Unit, caller: Caller, grant_id: str, reason: str) -> Grant:
    """End anybody's grant at once. Needs `grant.revoke` on its resource, or the system as caller.

    An id that the database does not know, or knows as something that was never sealed, is remembered as ended all the
    same: a row that somebody hid while it was being revoked is over when it comes back.
    """
    text = visible.cleaned(reason)
    if not 3 <= len(text) <= wording.LONGEST or visible.hidden(reason, lines=True):
        raise Invalid("access.reason_length", "A reason has 3 to 500 visible characters.", "Say why it ends.")
    row = rows.find(unit.conn, check_id(grant_id, "grt"))  # not locked: whoever holds its lock must not delay the no
    sealed = _sealed(unit, row, grant_id)
    if caller.kind != "system":
        authorise(unit, caller, "grant.revoke", sealed.grant.resource if sealed is not None else policy.LAB_RESOURCE)
    if row is None or sealed is None:
        raise _end_by_id(unit, row, grant_id, "revoked", caller.principal, text)
    return end_grant(unit, row, "revoked", caller.principal, text)


def _end_by_id(
    unit: Unit, row: rows.StoredGrant | None, grant_id: str, why: EndReason, by: str, text: str
) -> NotFound | Conflict:
    """End what no believable row tells of, and return the answer: first the id is closed; one line is written."""
    refusals = unit.part(Refusals)
    line = GrantEnded(grant=grant_id, principal="", resource="", why=why, by=by, text=text)
    lines = [] if refusals.closed(grant_id) else [line]
    refusals.close([grant_id], owed(unit, grant_id, line))
    if row is not None:
        return _never_sealed(lines)
    return NotFound(
        "access.no_such_grant",
        "The database has no such grant; its id is ended for good all the same.",
        "If you copied the id whole, tell security that a row is gone; else pick one from the list of grants.",
        record=lines,
    )


def _no_such_grant() -> NotFound:
    return NotFound("access.no_such_grant", "There is no such grant.", "Pick one from the list of grants.")


def _never_sealed(lines: Sequence[GrantEnded] = ()) -> Conflict:
    return Conflict(
        "access.grant_seal",
        "This row is not a grant that this server sealed; it gives nothing and is remembered as ended.",
        "Tell security that somebody writes the database.",
        record=list(lines),
    )


def end_grant(unit: Unit, row: rows.StoredGrant, why: EndReason, by: str, text: str) -> Grant:
    """End a grant for good; also one that only the memory has ended, after a kill in between. Its row is locked,
    except by who revokes: then the no is kept before the row is asked, and who finds it ended meanwhile is too late.

    What is written down comes from the sealed statement, never from the columns beside it.
    """
    sealed = open_grant(unit, row)
    if sealed is None:
        raise _never_sealed()
    grant = sealed.grant
    over = unit.part(Refusals).closed(grant.id)
    line = GrantEnded(grant=grant.id, principal=grant.person, resource=grant.resource, why=why, by=by, text=text)
    if grant.end > unit.now:
        close(unit, [grant.id], line)
    ended = not rows.end(unit.conn, row.id, unit.now, why, by)
    if grant.end <= unit.now or (ended and (over or row.state == "active")):  # a row alone is not believed
        raise Conflict("access.grant_ended", "This grant is over already.", "None is needed.")
    remember(unit, grant, unit.now)
    audit.append(unit, line)
    return msgspec.structs.replace(grant, state="ended", ended=unit.now, ended_why=why, ended_by=by)
