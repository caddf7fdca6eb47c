"""Asking. Guards approvers from requests that nobody could approve, that ask for ever, or that hide what they ask.

Everything that can be refused is refused now, with what to do instead; what is accepted is content-addressed, so that
nothing about it can change without becoming another request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from weighthouse.access.api.activation import activate, approve
from weighthouse.access.api.apart import check_separation
from weighthouse.access.api.chains import check_asked
from weighthouse.access.api.facts import directory, index_of, person_of, terms_of
from weighthouse.access.api.held import check_open, free_person
from weighthouse.access.api.outcomes import as_it_stands, granted
from weighthouse.access.api.owing import close, owed
from weighthouse.access.api.sealing import digest_of, open_request, seal_request
from weighthouse.access.api.stopping import stops
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.events import RequestDenied, RequestLapsed, RequestSubmitted, RequestWithdrawn
from weighthouse.access.model import Request, RequestState, grant_of
from weighthouse.access.ports import Refusals
from weighthouse.access.rules import duration as durations
from weighthouse.access.rules import wording
from weighthouse.access.rules.advisor import advise
from weighthouse.access.rules.card import span
from weighthouse.access.rules.deciding import Member, Terms, decide
from weighthouse.access.rules.matching import fill
from weighthouse.access.store import requests as rows
from weighthouse.access.store.requests import StoredRequest
from weighthouse.audit import api as audit
from weighthouse.core import paging, visible
from weighthouse.core.brief import briefly
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound
from weighthouse.core.ids import RequestId, check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

MOST_OPEN = 20  # so that nobody buries the requests of others in the approvers' inbox

Operation = dict[str, str | int | bool]
_ASKED = audit.Lines(RequestSubmitted.KIND)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for, before anything of it was checked."""

    entitlement: str
    resource: str
    duration: Millis
    reason: str
    operation: Operation


def submit(
    unit: Unit,
    caller: Caller,
    *,
    entitlement: str,
    resource: str,
    duration: Millis,
    reason: str,
    operation: Operation | None = None,
) -> Request:
    """Ask for an entitlement on a resource; where policy says `approval: none`, the grant starts at once.

    Raises NotFound `access.no_such_entitlement`, also for a resource that the caller may not know of; Invalid for
    duration, reason or operation; Denied for who may not ask, for a hold or a separation; Conflict for an impossible
    quorum, a request that is already open, or too many of them.
    """
    bundle = policy.current(unit)
    person = free_person(unit, bundle, caller, "request.submit", resource)
    terms = terms_of(bundle.lab, entitlement, resource)
    who = directory(unit, bundle, [person])[person]
    hidden = resource in bundle.lab.resources and not who.teams & index_of(bundle).knowers(
        bundle.lab.resources[resource]
    )
    if terms is None or terms.standing or hidden:
        raise NotFound(
            "access.no_such_entitlement",
            "There is no such entitlement to ask for on that resource.",
            "Search for the resource; its page ranks what opens it, narrowest first.",
        )
    wish = Wish(
        entitlement=entitlement, resource=resource, duration=duration, reason=reason, operation=operation or {}
    )
    _may_ask(bundle, caller, who, entitlement, resource, terms)
    request = _made(unit, bundle, caller, who, wish, terms)
    check_open(unit, bundle, request, "request.submit")
    _not_twice(unit, request)
    check_asked(unit, bundle, request, terms)
    check_separation(unit, bundle, request)
    _possible(unit, bundle, request)
    content = encode(request.content())
    rows.add(unit.conn, request, content.decode(), seal_request(unit, content))
    audit.append(unit, _submitted(request))
    outcome = decide(request, [], {person: who}, terms, unit.now)
    if outcome.state == "approved":
        request = approve(unit, request, outcome.quorum)
        activate(unit, bundle, request, [])
    return request


def _made(unit: Unit, bundle: policy.Bundle, caller: Caller, who: Member, wish: Wish, terms: Terms) -> Request:
    """The request, with the terms of today's policy in it and its digest over everything."""
    _seen(bundle, caller.principal, wish)
    request = Request(
        id=RequestId(new_id("req")),
        entitlement=wish.entitlement,
        resource=wish.resource,
        person=caller.principal,
        account=caller.account,
        session=str(caller.session or ""),
        duration=_duration(wish, terms),
        reason=_reason(bundle, who, wish, terms),
        operation=_operation(wish.operation, terms),
        actions=tuple(sorted(terms.actions)),
        slots=terms.slots,
        vote_signature="device" if terms.vote_signature == "device" else "attested",
        cls=terms.cls,
        environment=terms.environment,
        policy_digest=bundle.digest,
        created=unit.now,
        lapses=unit.now + terms.pending,
    )
    return msgspec.structs.replace(request, digest=digest_of(request), row=1)


def _seen(bundle: policy.Bundle, person: str, wish: Wish) -> None:
    """Refuse, with a line, a wish that says what its approvers would sign without seeing it."""
    found = {"reason": visible.hidden(wish.reason, lines=True)}
    found |= {key: visible.line_problem(value) for key, value in wish.operation.items() if isinstance(value, str)}
    hiding = next((key for key, character in found.items() if character), "")
    if not hiding:
        return
    code = "access.reason_hides" if hiding == "reason" else "access.operation_hides"
    line = DeniedEvent(
        principal=person,
        kind="person",
        action="request.submit",
        resource=wish.resource[:200],
        code=code,
        rule="visible",
        grant="",
        policy_digest=bundle.digest,
        context={"field": hiding[:40], "character": found[hiding]},
    )
    raise Invalid(
        code,
        f"'{hiding[:40]}' holds {found[hiding]}, which a reader cannot see there, takes for something else, or which "
        "turns the writing round.",
        "Write it again as plain text.",
        record=[line],
    )


def _submitted(request: Request) -> RequestSubmitted:
    return RequestSubmitted(
        request_id=request.id,
        digest=request.digest,
        policy_digest=request.policy_digest,
        principal=request.person,
        entitlement=request.entitlement,
        resource=request.resource,
        duration=request.duration,
        reason=request.reason,
        session=request.session,
    )


def refuse(
    bundle: policy.Bundle,
    caller: Caller,
    action: str,
    subject: str,
    code: str,
    text: str,
    remedy: str,
    *,
    hold: str = "",
) -> Denied:
    """A refusal of a step of this room, with its one line for the log; `hold` is the hold that is why."""
    line = DeniedEvent(
        principal=caller.principal,
        kind=caller.kind,
        action=action,
        resource=subject,
        code=code,
        rule="access",
        grant="",
        policy_digest=bundle.digest,
        context={},
        hold=hold,
    )
    return Denied(code, text, remedy, record=[line])


def _may_ask(
    bundle: policy.Bundle, caller: Caller, who: Member, entitlement: str, resource: str, terms: Terms
) -> None:
    def no(code: str, text: str, remedy: str) -> Denied:
        return refuse(bundle, caller, "request.submit", resource, code, text, remedy)

    if not who.teams & terms.eligible_teams:
        raise no(
            "access.not_eligible",
            f"'{entitlement}' can be asked for by {', '.join(sorted(terms.eligible_teams))} only.",
            "Ask a member of one of these teams, or for another entitlement.",
        )
    if not terms.reaches:
        raise no(
            "access.environment_mismatch",
            f"'{entitlement}' does not reach '{resource}'; grants never cross environments.",
            "Pick an entitlement that the resource's page lists.",
        )


def _duration(wish: Wish, terms: Terms) -> Millis:
    if not durations.within(wish.duration, terms.cap):
        raise Invalid(
            "access.duration_out_of_range",
            f"Access lasts from {span(durations.SHORTEST)} to {span(terms.cap)} here.",
            f"Ask for at most {span(terms.cap)}; when it ends, ask again.",
            longest=terms.cap,
        )
    return wish.duration


def _reason(bundle: policy.Bundle, who: Member, wish: Wish, terms: Terms) -> str:
    text = visible.cleaned(wish.reason)
    if not wording.SHORTEST_REASON <= len(text) <= wording.LONGEST:
        raise Invalid(
            "access.reason_length",
            f"A reason has {wording.SHORTEST_REASON} to {wording.LONGEST} characters.",
            "Say what you will do and why it needs this; approvers read it.",
        )
    if terms.broad and len(text) < wording.SHORTEST_BROAD:
        narrower = [
            one.entitlement
            for one in advise(index_of(bundle).candidates(), wish.resource, None)
            if one.entitlement != wish.entitlement
            and bundle.lab.entitlements[one.entitlement].eligible_teams & who.teams
        ]
        instead = f"Narrower: {', '.join(narrower[:3])}. " if narrower else ""
        raise Invalid(
            "access.broad_needs_justification",
            f"'{wish.entitlement}' is broad, so its reason needs at least {wording.SHORTEST_BROAD} characters.",
            instead + "Otherwise say why nothing narrower will do.",
        )
    return text


def _operation(operation: Operation, terms: Terms) -> Operation:
    bad = [
        key
        for key, value in operation.items()
        if not isinstance(value, str | int) or (isinstance(value, str) and not 0 < len(value) <= 200)
    ]
    if set(operation) != set(terms.operation) or bad:
        wanted = ", ".join(terms.operation) or "nothing"
        form = ", ".join(f'"{one}": "…"' for one in terms.operation)
        remedy = (
            f"Name each as a short text or number: --operation '{{{form}}}'. The grant will be good for that alone."
            if form
            else "Ask without naming an operation."
        )
        raise Invalid(
            "access.operation_missing",
            f"This entitlement wants exactly these facts of the operation: {wanted}.",
            remedy,
        )
    return dict(sorted(operation.items()))


def _not_twice(unit: Unit, request: Request) -> None:
    refusals = unit.part(Refusals)
    found = (open_request(unit, row) for row in rows.pending_of(unit.conn, request.person, unit.now))
    waiting = {one.id: one for one in found if one is not None and one.person == request.person}
    if len(waiting) >= MOST_OPEN:
        raise Conflict(
            "access.too_many_open",
            f"{MOST_OPEN} of your requests are still open, and nobody may have more.",
            "Withdraw what you no longer need, or wait for the approvers.",
        )
    for other in waiting.values():
        if _wish(other) == _wish(request) and not refusals.closed(other.id):
            raise Conflict(
                "access.already_pending",
                "You have asked for this already and it is still open.",
                "Wait for the approvers, or withdraw the open request first.",
                request=other.id,
            )


def _wish(request: Request) -> bytes:
    """What two requests must share to be one and the same; 1 and true are two wishes, as they are two operations."""
    return encode([request.entitlement, request.resource, request.operation])


def _possible(unit: Unit, bundle: policy.Bundle, request: Request) -> None:
    """Refuse now what nobody could ever approve: with the people who are active today, without the requester."""
    wanted = {slot.team for slot in request.slots}
    able = {
        person.id: person.teams
        for person in bundle.lab.people.values()
        if person.id != request.person and person.teams & wanted
    }
    enough = sum(slot.count for slot in request.slots) * 4
    chosen: dict[str, frozenset[str]] = {}
    for one, found in directory(unit, bundle, sorted(able)[: max(enough, 64)]).items():
        if found.active:
            chosen[one] = found.teams
    filling = fill(request.slots, chosen)
    if not filling.complete and len(able) > max(enough, 64):
        chosen = {one: found.teams for one, found in directory(unit, bundle, able).items() if found.active}
        filling = fill(request.slots, chosen)
    if not filling.complete:
        lacking = ", ".join(f"{slot.name} ({slot.count} more of {slot.team})" for slot in filling.missing)
        raise Conflict(
            "access.impossible_quorum",
            f"Nobody could approve this now: {lacking}.",
            "Ask the owners of the team to name somebody, then ask again.",
        )


@stops
def withdraw(unit: Unit, caller: Caller, request_id: str) -> Request:
    """Take an open request back. Raises NotFound for another's request, Conflict if it is settled."""
    person = person_of(unit, policy.current(unit), caller)
    request = opened(unit, request_id, refuses=True)
    if request is None:
        asked = submitted(unit, request_id)
        if asked is None or asked["principal"] != person:
            raise no_such_request()
        raise refuse_by_id(unit, request_id, RequestWithdrawn(request_id=request_id))
    if request.person != person:
        raise no_such_request()
    settle(unit, request, "withdrawn", "")
    audit.append(unit, RequestWithdrawn(request_id=request.id))
    return msgspec.structs.replace(request, state="withdrawn", settled=unit.now, row=request.row + 1)


def settle(unit: Unit, request: Request, state: RequestState, why: str) -> None:
    """Move a pending request to an end that says no, and remember it outside the database.

    A row that is still pending although the memory has closed it was left by a kill between the two (or put back by
    somebody with the database): saying no to it once more is what mends it. One that says it is settled is believed
    only if something beside it agrees; otherwise it is overruled.
    """
    assert state in ("withdrawn", "denied", "invalidated")
    write_no(unit, request, state, why, over=say_no(unit, request, state, why))


def say_no(unit: Unit, request: Request, state: RequestState, why: str) -> bool:
    """Remember a no, writing nothing; return whether the request was over by more than its row. First `settle`."""
    over = is_over(unit, request)
    if request.state != "pending" and over:
        raise closed(request)
    close(unit, [request.id, grant_of(request.id)], _line(request.id, state, why))
    return over


def write_no(unit: Unit, request: Request, state: RequestState, why: str, *, over: bool) -> None:
    """Let the row say the no that is remembered. Second `settle`."""
    if not rows.settle(unit.conn, request.id, request.row, state, why, unit.now):
        if over or (state == "invalidated" and is_over(unit, request)):
            raise closed(request)
        rows.overrule(unit.conn, request.id, state, why, unit.now)


def _line(request: str, state: str, why: str) -> RequestDenied | RequestLapsed | RequestWithdrawn:
    """What the log must have of an end, whoever writes more about it."""
    if state == "withdrawn":
        return RequestWithdrawn(request_id=request)
    return (
        RequestDenied(request_id=request, by=why) if state == "denied" else RequestLapsed(request_id=request, why=why)
    )


def is_over(unit: Unit, request: Request) -> bool:
    """Whether a request is settled by more than its row: by the memory, its sealed time, or its sealed grant."""
    if unit.part(Refusals).closed(request.id) or unit.now >= request.lapses:
        return True
    return granted(unit, request.id)


def opened(unit: Unit, request_id: str, *, refuses: bool = False) -> Request | None:
    """The sealed request of this very id, its row locked; None if the row is gone, edited or holds another's.

    Who `refuses` waits for that lock a moment at most, and says no without it.
    """
    id_ = check_id(request_id, "req")

    def locked() -> StoredRequest | None:
        return rows.find(unit.conn, id_, lock=True)

    row = briefly(unit, locked, lambda: rows.find(unit.conn, id_)) if refuses else locked()
    request = open_request(unit, row) if row is not None else None
    return request if request is not None and request.id == request_id else None


def submitted(unit: Unit, request_id: str) -> dict[str, Any] | None:
    """What the log says of a request that was asked for, whatever became of its row; None for an id nobody saw."""
    line = _ASKED.newest(unit, check_id(request_id, "req"))
    return line.data if line is not None else None


def refuse_by_id(unit: Unit, request_id: str, line: RequestWithdrawn | RequestDenied) -> NotFound:
    """Close for good what no believable row tells of, and return the answer; its line is written once.

    Its caller has found in the log that it was asked for, and that whoever says so may: ids that nobody has seen are
    not remembered, or anybody could fill the memory and the log with them.
    """
    refusals = unit.part(Refusals)
    lines = [] if refusals.closed(request_id) else [line]
    refusals.close([request_id, grant_of(request_id)], owed(unit, request_id, line))
    return no_such_request(lines)


def closed(request: Request) -> Conflict:
    """The conflict of somebody who comes too late."""
    return Conflict(
        "access.request_closed",
        f"This request is {request.state if request.state != 'pending' else 'settled'}; it cannot change any more.",
        "Look at the request again; ask anew if access is still needed.",
    )


def no_such_request(lines: Sequence[RequestWithdrawn | RequestDenied] = ()) -> NotFound:
    """What one may not know of does not exist. The same words for all, so that nobody learns which ids do."""
    return NotFound(
        "access.no_such_request",
        "There is no such request; a no to one whose row is gone is remembered all the same.",
        "Open it from your inbox or from your own requests.",
        record=list(lines),
    )


def my_requests(unit: Unit, caller: Caller, limit: int = 100) -> list[Request]:
    """The first of `requests_page`."""
    return requests_page(unit, caller, limit=limit).items


def requests_page(unit: Unit, caller: Caller, *, cursor: str | None = None, limit: int = 100) -> paging.Page[Request]:
    """The caller's own requests, open ones first, newest first; a row that was edited is not among them."""
    person = person_of(unit, policy.current(unit), caller)
    place = paging.place_of(cursor, "requests", (int, int, int, str))
    asof = unit.now if place is None else int(place.key[0])
    within = None if place is None else msgspec.structs.replace(place, key=place.key[1:])
    found = rows.of_person(unit.conn, person, asof, within, limit + 1)
    cut = paging.page(found, limit, "requests", lambda row: (asof, *rows.rank(row, asof)), place)
    opened = [open_request(unit, row) for row in cut.items]
    return paging.Page([as_it_stands(unit, one) for one in opened if one is not None], cut.next, cut.previous)
