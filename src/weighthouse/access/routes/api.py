"""Access over HTTP, for the CLI and programs. Parses, calls the room, renders; decides nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from weighthouse.access import api
from weighthouse.access.routes import views
from weighthouse.core import canonical, paging
from weighthouse.core.answers import once
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

router = APIRouter(prefix="/api/v1", tags=["access"])

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]
Name = Annotated[str, Field(min_length=1, max_length=260)]


class Body(BaseModel):
    """A JSON body: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Submission(Body):
    """A request for access; `duration` in milliseconds."""

    entitlement: Name
    resource: Name
    duration: int
    reason: Annotated[str, Field(max_length=2_000)]
    operation: Annotated[dict[Annotated[str, Field(max_length=40)], str | int | bool], Field(max_length=16)] = {}


class Signature(Body):
    """How the vote is signed; `value` is base64url of 64 bytes."""

    kind: Literal["device", "attested"]
    at: int
    device: Annotated[str, Field(max_length=64)] = ""
    value: Annotated[str, Field(max_length=128)] = ""


class Ballot(Body):
    """A vote over the digest that was shown."""

    verdict: Literal["approve", "deny"]
    digest: Annotated[str, Field(max_length=80)]
    signature: Signature
    comment: Annotated[str, Field(max_length=2_000)] = ""


class Reason(Body):
    """Why something is ended or lifted."""

    reason: Annotated[str, Field(min_length=1, max_length=2_000)]


class Lifting(Reason):
    """Why a hold is lifted, and the signature (ES256, r and s, base64url) of the caller's own grown key `by` over the
    canonical {"type": "weighthouse/open/2", "audience", "act": "hold.lift", "subject": the hold, "person": the
    caller, "device": by, "at"}, not older than ten minutes; `audience` is what `GET /me` says."""

    by: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    at: Annotated[int, Field(ge=0, le=2**53)] | None = None
    signature: Annotated[str, Field(min_length=86, max_length=86, pattern=r"^[A-Za-z0-9_-]+$")] | None = None

    def signed(self) -> identity.KeySignature | None:
        """The signature, if one was sent."""
        if self.by is None or self.at is None or self.signature is None:
            return None
        return identity.KeySignature(
            device=self.by, at=self.at, value=base64.urlsafe_b64decode(self.signature + "==")
        )


class Holding(Body):
    """A hold to place; no actions means all that a hold stops."""

    subject: Name
    reason: Annotated[str, Field(min_length=1, max_length=2_000)]
    actions: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] = []


class PolicyText(Body):
    """A policy text and the name by which messages call it."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    text: Annotated[str, Field(max_length=policy.LAB_LIMIT)]


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)


def _all(
    values: Sequence[Any], name: str, key: Callable[[Any], paging.Key], cursor: str | None, limit: int, *shape: type
) -> dict[str, Any]:
    """A page of a list that the room gives whole."""
    return paging.answer(paging.window(values, limit, name, key, cursor, shape))


def _fingerprint(name: str, body: Body | None = None) -> str:
    return canonical.digest({"name": name, "body": body.model_dump() if body is not None else None})


@router.get("/search")
def search(
    request: Request, q: Annotated[str, Query(max_length=200)] = "", limit: Limit = 20, cursor: Cursor = None
) -> dict[str, Any]:
    """Find resources, best first."""
    with door(request).enter(request, write=False) as (unit, caller):
        return _all(
            api.search(unit, caller, q, None),
            "search",
            lambda one: (-one.score, one.resource),
            cursor,
            limit,
            int,
            str,
        )


@router.get("/advise")
def advise(
    request: Request,
    resource: Annotated[str, Query(max_length=260)],
    action: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = paging.USUAL,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Rank the entitlements that would open a resource, narrowest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(paging.ranked(api.advise(unit, caller, resource, action), limit, "advise", cursor))


@router.get("/explain")
def explain(
    request: Request,
    action: Annotated[str, Query(max_length=64)],
    resource: Annotated[str, Query(max_length=260)],
    principal: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """Say why or why not, for the caller or, to those who may read the log, for another person."""
    with door(request).enter(request, write=False) as (unit, caller):
        if principal is None or principal == caller.principal:
            answer: dict[str, Any] = _plain(api.explain(unit, caller, action, resource))
        else:
            answer = _plain(api.explain_for(unit, caller, principal, action, resource))
        del answer["hold"]  # the log's: who is refused need not know of what it stands on
        return answer


@router.get("/who")
def who(
    request: Request,
    resource: Annotated[str, Query(max_length=260)],
    limit: Limit = paging.USUAL,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List everybody who can reach a resource now, and why: by grant first, then by what stands for their team."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.who_has(unit, caller, resource)
        return _all(found, "who", views.who_key, cursor, limit, int, str, str, str)


@router.post("/requests", status_code=201)
def submit(request: Request, body: Submission, key: IdempotencyKey = None) -> dict[str, Any]:
    """Ask for access."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("submit", body),
            lambda: api.submit(unit, caller, **body.model_dump()),
            keeps=api.Request,
        )
        return answer


@router.get("/requests")
def my_requests(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """The caller's own requests, open ones first, newest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(api.requests_page(unit, caller, cursor=cursor, limit=limit))


@router.get("/inbox")
def inbox(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """Cards that wait for the caller's vote, oldest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(api.inbox_page(unit, caller, cursor=cursor, limit=limit))


@router.get("/requests/{request_id}/card")
def card(request: Request, request_id: str) -> dict[str, Any]:
    """The card of a request, with the statement that a vote signs."""
    with door(request).enter(request, write=False) as (unit, caller):
        answer: dict[str, Any] = _plain(api.card(unit, caller, request_id))
        return answer


@router.post("/requests/{request_id}/votes", status_code=201)
def vote(request: Request, request_id: str, body: Ballot, key: IdempotencyKey = None) -> dict[str, Any]:
    """Vote on a request."""
    signature = api.VoteSignature(**body.signature.model_dump())
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("vote " + request_id, body),
            lambda: api.vote(
                unit,
                caller,
                request_id,
                body.verdict,
                digest=body.digest,
                signature=signature,
                comment=body.comment,
            ),
            keeps=api.Request,
            stops=body.verdict == "deny",
        )
        return answer


@router.post("/requests/{request_id}/withdraw")
def withdraw(request: Request, request_id: str, key: IdempotencyKey = None) -> dict[str, Any]:
    """Take one's own open request back."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("withdraw " + request_id),
            lambda: api.withdraw(unit, caller, request_id),
            keeps=api.Request,
            stops=True,
        )
        return answer


@router.get("/grants")
def grants(
    request: Request,
    principal: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = paging.USUAL,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """The caller's grants, or another person's for those who may read the log; active ones before ended ones."""
    with door(request).enter(request, write=False) as (unit, caller):
        return paging.answer(api.grants_page(unit, caller, principal, cursor=cursor, limit=limit))


@router.post("/grants/{grant_id}/give-back")
def give_back(request: Request, grant_id: str, key: IdempotencyKey = None) -> dict[str, Any]:
    """End one's own grant now."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("give back " + grant_id),
            lambda: api.give_back(unit, caller, grant_id),
            keeps=api.Grant,
            stops=True,
        )
        return answer


@router.post("/grants/{grant_id}/revoke")
def revoke(request: Request, grant_id: str, body: Reason, key: IdempotencyKey = None) -> dict[str, Any]:
    """End anybody's grant now."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("revoke " + grant_id, body),
            lambda: api.revoke(unit, caller, grant_id, body.reason),
            keeps=api.Grant,
            stops=True,
        )
        return answer


@router.get("/holds")
def holds(
    request: Request,
    subject: Annotated[str | None, Query(max_length=260)] = None,
    limit: Limit = paging.USUAL,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Holds that stand now, newest first."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.list_holds(unit, caller, subject)
        return _all(found, "holds", lambda one: (-one.at, one.id), cursor, limit, int, str)


@router.post("/holds", status_code=201)
def place_hold(request: Request, body: Holding, key: IdempotencyKey = None) -> dict[str, Any]:
    """Place a hold."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("hold", body),
            lambda: api.place_hold(unit, caller, body.subject, body.reason, actions=tuple(body.actions)),
            keeps=api.Hold,
            stops=True,
        )
        return answer


@router.post("/holds/{hold_id}/lift")
def lift_hold(request: Request, hold_id: str, body: Lifting, key: IdempotencyKey = None) -> dict[str, Any]:
    """Lift a hold of security, signed by a grown key of one's own; one of the committee is lifted by closing its
    motion."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("lift " + hold_id, body),
            lambda: api.lift_hold(unit, caller, hold_id, body.reason, signed=body.signed()),
            keeps=api.Hold,
        )
        return answer


@router.get("/policy")
def current_policy(request: Request) -> dict[str, Any]:
    """The policy in force: version, digest, and who published it when."""
    with door(request).enter(request, write=False) as (unit, caller):
        answer: dict[str, Any] = _plain(_published(api.policy_in_force(unit, caller)))
        return answer


@router.get("/policy/texts/{digest}")
def policy_text(request: Request, digest: str) -> dict[str, Any]:
    """A text that is, or was, in force: for whoever asks for a change of policy, approves one, or reads the log."""
    with door(request).enter(request) as (unit, caller):
        return {"digest": digest, "text": api.policy_text(unit, caller, digest)}


@router.post("/policy/check")
def check_policy(request: Request, body: PolicyText) -> dict[str, Any]:
    """Check a text and say what it would change; changes nothing. A fault is named with file and line."""
    with door(request).enter(request, write=False) as (unit, caller):
        before, lab, changes = api.plan_policy(unit, caller, body.text, body.name)
        return {
            "version": before.version + 1,
            "digest": policy.digest_of(body.text),
            "base": before.digest,
            "lab": lab.id,
            "difference": changes,
            "notes": policy.notes(lab),
        }


@router.post("/policy", status_code=201)
def publish_policy(request: Request, body: PolicyText, key: IdempotencyKey = None) -> dict[str, Any]:
    """Publish exactly the text that a grant of the caller names."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            _fingerprint("publish", body),
            lambda: _published(api.publish_policy(unit, caller, body.text, body.name)),
            keeps=Published,
        )
        return answer


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Which text is in force, without the text."""

    version: int
    digest: str
    lab: str
    at: int
    published_by: str


def _published(bundle: policy.Bundle) -> Published:
    return Published(
        version=bundle.version,
        digest=bundle.digest,
        lab=bundle.lab.id,
        at=bundle.at,
        published_by=bundle.published_by,
    )
