"""Pages of access: the request wizard, the one approval card, the inbox, one's own grants, who has access and why.

Guards both humans in the loop: the requester submits what a review page has shown, the approver sees what they sign.
Nothing here decides; every step asks the room, and a step that the room refuses shows what, why and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.access import api
from weighthouse.access.routes import views
from weighthouse.core.caller import Caller
from weighthouse.core.clock import HOUR, MINUTE, Millis
from weighthouse.core.door import door
from weighthouse.core.errors import Denied, NotFound
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

router = APIRouter(include_in_schema=False)

Words = Annotated[str, Query(max_length=200)]
Name = Annotated[str, Form(min_length=1, max_length=200)]
Reason = Annotated[str, Form(max_length=4_000)]
Span = Annotated[int, Form(ge=1, le=366 * 24 * HOUR)]

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
        if resource:
            views.resource(unit, caller, resource)
        if resource and entitlement:
            role = views.role(unit, resource, entitlement)
            return render(
                request, "access/request_details.html", **_details(role, resource, {}, "", role.default_duration)
            )
        if resource:
            found = api.advise(unit, caller, resource)
            return render(request, "access/request_roles.html", step=2, resource=resource, suggestions=found)
        results = api.search(unit, caller, q.strip()) if q.strip() else []
        return render(request, "access/request_search.html", step=1, q=q, found=results)


def _details(
    role: policy.Entitlement, resource: str, operation: Mapping[str, object], reason: str, chosen: Millis
) -> dict[str, Any]:
    spans = sorted({span for span in (*_SPANS, role.default_duration, chosen) if span <= role.max_duration})
    return {
        "step": 3,
        "resource": resource,
        "role": role,
        "durations": spans,
        "chosen": chosen,
        "operation": operation,
        "reason": reason,
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
        views.resource(unit, caller, resource)
        return door(request).render(
            request,
            "access/request_review.html",
            step=4,
            resource=resource,
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
        views.resource(unit, caller, resource)
        role = views.role(unit, resource, entitlement)
        return door(request).render(
            request, "access/request_details.html", **_details(role, resource, operation, reason, duration)
        )


@router.post("/request")
def submit(
    request: Request, resource: Name, entitlement: Name, duration: Span, reason: Reason, operation: Operation
) -> Response:
    """Submit the request that the review page has shown."""
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
    return RedirectResponse(f"/requests/{made.id}?done=submitted", 303)


@router.get("/inbox")
def inbox(request: Request) -> Response:
    """Requests that wait for somebody like the reader."""
    with door(request).enter(request) as (unit, caller):
        return door(request).render(request, "access/inbox.html", cards=api.inbox(unit, caller))


@router.get("/requests/{request_id}")
def card(request: Request, request_id: str, done: str = "") -> Response:
    """The one card: what is asked, why, what is unusual, who has answered, and what a vote would sign."""
    with door(request).enter(request) as (unit, caller):
        shown = views.card(unit, caller, api.card(unit, caller, request_id))
        return door(request).render(request, "access/card.html", view=shown, done=_DONE.get(done, ""))


@router.post("/requests/{request_id}/vote")
def vote(
    request: Request,
    request_id: str,
    verdict: Annotated[Literal["approve", "deny"], Form()],
    digest: Name,
    at: Annotated[int, Form()],
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
def mine(request: Request, done: str = "") -> Response:
    """One's own grants, requests and standing roles."""
    with door(request).enter(request) as (unit, caller):
        return door(request).render(
            request,
            "access/grants.html",
            grants=[one for one in api.grants_of(unit, caller) if one.state == "active"],
            requests=api.my_requests(unit, caller),
            standing=views.standing(unit, caller),
            done=_DONE.get(done, ""),
        )


@router.post("/access/{grant}/give-back")
def give_back(request: Request, grant: str) -> Response:
    """End one's own grant early."""
    with door(request).enter(request) as (unit, caller):
        api.give_back(unit, caller, grant)
    return RedirectResponse("/access?done=given-back", 303)


@router.get("/resources/{resource:path}")
def resource(request: Request, resource: str) -> Response:
    """What it is, who has access and why, and why the reader can or cannot."""
    with door(request).enter(request) as (unit, caller):
        thing = views.resource(unit, caller, resource)
        people, why_not = _who_has(unit, caller, resource)
        return door(request).render(
            request,
            "access/resource.html",
            resource=thing,
            holds=[*api.holds(unit, resource), *api.holds(unit, "lab")],
            people=people,
            why_not=why_not,
            decisions=views.decisions(unit, caller, thing),
        )


def _who_has(unit: Unit, caller: Caller, resource: str) -> tuple[list[api.Access] | None, str]:
    try:
        return api.who_has(unit, caller, resource), ""
    except (Denied, NotFound) as refusal:
        return None, f"{refusal.message} {refusal.remedy}"
