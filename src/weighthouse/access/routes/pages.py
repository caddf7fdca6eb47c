"""Pages of access: the request wizard, the one approval card, the inbox, one's own grants, who has access and why.

Guards both humans in the loop: the requester submits what a review page has shown, the approver sees what they sign.
Nothing here decides; every step asks the room, and a step that the room refuses shows what, why and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.access import api
from weighthouse.access.routes import views
from weighthouse.core.caller import Caller
from weighthouse.core.clock import HOUR, MINUTE, Millis
from weighthouse.core.door import Cursor, door
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, WeighthouseError
from weighthouse.core.paging import Links, links, window
from weighthouse.core.work import Unit

router = APIRouter(include_in_schema=False)

Words = Annotated[str, Query(max_length=200)]
Name = Annotated[str, Form(min_length=1, max_length=200)]
Reason = Annotated[str, Form(max_length=4_000)]
Span = Annotated[int, Form(ge=1, le=366 * 24 * HOUR)]

PAGE = 25

_SPANS: tuple[Millis, ...] = (15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 24 * HOUR, 72 * HOUR)
_DONE = {
    "submitted": "Submitted. The people named below have been told by their inbox.",
    "voted": "Your vote counts. It is signed and in the log.",
    "withdrawn": "Withdrawn. Nobody can approve it any more.",
    "given-back": "Given back. Nothing accepts that grant any more.",
}


@router.get("/request")
def ask(request: Request, q: Words = "", resource: Words = "", entitlement: Words = "") -> Response:
    """The wizard: search, then the roles that open what was found, then how long and why."""
    with door(request).enter(request) as (unit, caller):
        render = door(request).render
        if resource and entitlement:
            shown = _details(unit, caller, resource, entitlement)
            return render(request, "access/request_details.html", **shown)
        if resource:
            return render(
                request,
                "access/request_roles.html",
                step=2,
                resource=resource,
                thing=views.resource(unit, caller, resource),
                holds=api.holds_about(unit, resource),
                suggestions=views.roles(unit, api.advise(unit, caller, resource)),
            )
        return render(request, "access/request_search.html", step=1, q=q, found=api.search(unit, caller, q.strip()))


def _details(
    unit: Unit,
    caller: Caller,
    resource: str,
    entitlement: str,
    *,
    operation: Mapping[str, object] | None = None,
    reason: str = "",
    chosen: Millis = 0,
    problem: WeighthouseError | None = None,
) -> dict[str, Any]:
    thing = views.resource(unit, caller, resource)
    role = views.role(unit, resource, entitlement)
    longest = views.longest(unit, role, thing)
    chosen = chosen or min(role.default_duration, longest)
    return {
        "step": 3,
        "resource": resource,
        "thing": thing,
        "role": role,
        "longest": longest,
        "durations": sorted({span for span in (*_SPANS, longest, chosen) if span <= longest}),
        "chosen": chosen,
        "operation": operation or {},
        "reason": reason,
        "problem": problem,
        "names": api.names(unit),
    }


async def _operation(request: Request) -> dict[str, str]:
    """The facts that pin a request down to one operation: form fields that begin with `op_`."""
    form = await request.form()
    return {name[3:]: str(value)[:200] for name, value in form.items() if name.startswith("op_")}


Operation = Annotated[dict[str, str], Depends(_operation)]


@router.post("/request/review")
def review(
    request: Request, resource: Name, entitlement: Name, duration: Span, reason: Reason, operation: Operation
) -> Response:
    """Show what would be asked, and of whom. Changes nothing."""
    with door(request).enter(request, write=False) as (unit, caller):
        return door(request).render(
            request,
            "access/request_review.html",
            step=4,
            resource=resource,
            thing=views.resource(unit, caller, resource),
            names=api.names(unit),
            role=views.role(unit, resource, entitlement),
            duration=duration,
            reason=reason,
            operation=operation,
        )


@router.post("/request/change")
def change(
    request: Request, resource: Name, entitlement: Name, duration: Span, reason: Reason, operation: Operation
) -> Response:
    """Go back to the form with what was typed. Changes nothing."""
    with door(request).enter(request, write=False) as (unit, caller):
        shown = _details(unit, caller, resource, entitlement, operation=operation, reason=reason, chosen=duration)
        return door(request).render(request, "access/request_details.html", **shown)


@router.post("/request")
def submit(
    request: Request, resource: Name, entitlement: Name, duration: Span, reason: Reason, operation: Operation
) -> Response:
    """Submit the request that the review page has shown. What does not fit comes back with all that was typed."""
    try:
        with door(request).enter(request) as (unit, caller):
            made = api.submit(
                unit,
                caller,
                entitlement=entitlement,
                resource=resource,
                duration=duration,
                reason=reason,
                operation=dict(operation) or None,
            )
    except (Invalid, Denied, Conflict) as refusal:
        status = 400 if isinstance(refusal, Invalid) else 403 if isinstance(refusal, Denied) else 409
        with door(request).enter(request, write=False) as (unit, caller):
            shown = _details(
                unit,
                caller,
                resource,
                entitlement,
                operation=operation,
                reason=reason,
                chosen=duration,
                problem=refusal,
            )
            return door(request).render(request, "access/request_details.html", status, **shown)
    return RedirectResponse(f"/requests/{made.id}?done=submitted", 303)


@router.get("/inbox")
def inbox(request: Request, cursor: Cursor = None) -> Response:
    """Requests that wait for somebody like the reader."""
    with door(request).enter(request) as (unit, caller):
        here = links(api.inbox_page(unit, caller, cursor=cursor, limit=PAGE), "/inbox")
        return door(request).render(
            request,
            "access/inbox.html",
            cards=here.items,
            newer=here.newer,
            older=here.older,
            shown=here.shown,
            told=api.told(unit, caller),
            why_moved=api.why_moved,
            names=api.names(unit),
        )


@router.get("/requests/{request_id}")
def card(request: Request, request_id: str, done: str = "") -> Response:
    """The one card: what is asked, why, what is unusual, who has answered, and what a vote would sign."""
    with door(request).enter(request) as (unit, caller):
        shown = views.card(unit, caller, api.card(unit, caller, request_id))
        held = views.holds_against(unit, shown.request)
        return door(request).render(
            request,
            "access/card.html",
            view=shown,
            holds=held,
            why_moved=api.why_moved,
            done=_DONE.get(done, ""),
        )


@router.post("/requests/{request_id}/vote")
def vote(
    request: Request,
    request_id: str,
    verdict: Annotated[Literal["approve", "deny"], Form()],
    digest: Name,
    at: Annotated[int, Form(ge=0, le=2**53)],
    comment: Annotated[str, Form(max_length=1_000)] = "",
    device: Annotated[str, Form(max_length=64)] = "",
    signature: Annotated[str, Form(max_length=128)] = "",
) -> Response:
    """Cast the vote: signed by the browser's key if it has one, attested by the server where the class allows it."""
    signed = api.VoteSignature(kind="device" if device else "attested", device=device, value=signature, at=at)
    with door(request).enter(request) as (unit, caller):
        api.vote(unit, caller, request_id, verdict, digest=digest, signature=signed, comment=comment)
    return RedirectResponse(f"/requests/{request_id}?done=voted", 303)


@router.post("/requests/{request_id}/withdraw")
def withdraw(request: Request, request_id: str) -> Response:
    """Take one's own request back."""
    with door(request).enter(request) as (unit, caller):
        api.withdraw(unit, caller, request_id)
    return RedirectResponse(f"/requests/{request_id}?done=withdrawn", 303)


@router.get("/access")
def mine(request: Request, done: str = "", cursor: Cursor = None, grants: Cursor = None) -> Response:
    """One's own grants, requests and standing roles. The two lists turn their pages each by itself."""
    with door(request).enter(request) as (unit, caller):
        here = links(api.requests_page(unit, caller, cursor=cursor, limit=PAGE), "/access", _kept("grants", grants))
        found = api.grants_page(unit, caller, cursor=grants, limit=PAGE)
        if not found.items or found.items[-1].state != "active":
            found = msgspec.structs.replace(found, next=None)  # what follows has ended, and is not shown here
        given = links(found, "/access", _kept("cursor", cursor), name="grants")
        return door(request).render(
            request,
            "access/grants.html",
            grants=[one for one in given.items if one.state == "active"],
            given=given,
            requests=here.items,
            newer=here.newer,
            older=here.older,
            shown=here.shown,
            standing=views.standing(unit, caller),
            why_moved=api.why_moved,
            names=api.names(unit),
            done=_DONE.get(done, ""),
        )


def _kept(name: str, cursor: str | None) -> dict[str, str]:
    """The other list's place, which turning a page of this one leaves alone."""
    return {name: cursor} if cursor else {}


@router.post("/access/{grant}/give-back")
def give_back(request: Request, grant: str) -> Response:
    """End one's own grant early."""
    with door(request).enter(request) as (unit, caller):
        api.give_back(unit, caller, grant)
    return RedirectResponse("/access?done=given-back", 303)


@router.get("/resources/{resource:path}")
def resource(request: Request, resource: str, cursor: Cursor = None) -> Response:
    """What it is, who has access and why, and why the reader can or cannot."""
    with door(request).enter(request) as (unit, caller):
        thing = views.resource(unit, caller, resource)
        people, why_not = _who_has(unit, caller, resource)
        here = _people(people or [], cursor, resource)
        return door(request).render(
            request,
            "access/resource.html",
            resource=thing,
            holds=api.holds_about(unit, resource),
            people=None if people is None else here.items,
            newer=here.newer,
            older=here.older,
            shown=here.shown,
            why_not=why_not,
            decisions=views.decisions(unit, caller, thing),
            names=api.names(unit),
        )


def _who_has(unit: Unit, caller: Caller, resource: str) -> tuple[list[api.Access] | None, str]:
    try:
        return api.who_has(unit, caller, resource), ""
    except (Denied, NotFound) as refusal:
        return None, f"{refusal.message} {refusal.remedy}"


def _people(people: list[api.Access], cursor: str | None, resource: str) -> Links[api.Access]:
    shape = (int, str, str, str)
    made = window(people, PAGE, "who", views.who_key, cursor, shape)
    return links(made, f"/resources/{resource}")
