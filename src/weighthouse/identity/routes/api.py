"""identity's JSON endpoints, for the CLI and the SDK. Parse, ask the room, answer; every judgement is in the room.

`/login` and `/token` are open to everybody (nobody is signed in yet); everything else needs a session. What belongs
to another person is answered as if it did not exist.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header
from starlette.requests import Request

from weighthouse.core import paging
from weighthouse.core.answers import once
from weighthouse.core.canonical import digest
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.core.errors import Denied, NotFound
from weighthouse.core.work import Unit
from weighthouse.identity import api
from weighthouse.identity.api import Person, Session, SignedIn, SignInStart
from weighthouse.identity.routes.bodies import Confirm, End, EndKey, Enrol, Login, StepUp, Token
from weighthouse.identity.routes.reception import arrival_of, system_of

router = APIRouter(prefix="/api/v1", tags=["identity"])

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]
OPEN: dict[str, Any] = {"security": []}  # nobody is signed in yet


def _start(start: SignInStart) -> dict[str, Any]:
    shown = {"reasons": list(start.reasons), "acts": list(start.acts)}
    return {"status": "step_up", "url": start.url, "transaction": start.transaction, **shown}


def _person(person: Person) -> dict[str, Any]:
    """What everybody may see of a person: that they are frozen, but not why; that is for responders, in detect."""
    return {
        "id": person.id,
        "name": person.name,
        "teams": list(person.teams),
        "active": person.active,
        "frozen": person.frozen,
    }


def _shown(unit: Unit, session: Session, *, current: str | None) -> dict[str, Any]:
    """A session of one's own, with what it did lately."""
    told = [{"at": at, "what": what} for at, what in api.lately(unit, session.id)]
    return {**_session(session, current=current), "lately": told}


def _session(session: Session, *, current: str | None) -> dict[str, Any]:
    return {
        "id": session.id,
        "binding": session.binding,
        "address": session.address,
        "user_agent": session.user_agent,
        "created": session.created,
        "seen": session.seen,
        "ends": session.ends,
        "assurance": msgspec.to_builtins(session.assurance),
        "current": session.id == current,
    }


@router.post("/login", openapi_extra=OPEN)
def login(request: Request, body: Login) -> dict[str, Any]:
    """Begin a sign-in for a device key: where to send the person, and the secret of this attempt."""
    system = system_of(request)
    address = arrival_of(request, system).address
    start = api.begin_sign_in(
        system, redirect_uri=body.redirect_uri, device_jwk=body.device_jwk.model_dump(), address=address
    )
    return {"url": start.url, "transaction": start.transaction}


@router.post("/token", openapi_extra=OPEN)
def token(request: Request, body: Token) -> dict[str, Any]:
    """Finish a sign-in or step-up, with a DPoP proof by the key that began it: a token, or on to a second factor."""
    system = system_of(request)
    done = api.finish_sign_in(system, body.transaction, body.params, arrival_of(request, system))
    if not isinstance(done, SignedIn):
        return _start(done)
    return {
        "status": "signed_in",
        "token": done.secret,
        "token_type": "DPoP",
        "person": done.session.person,
        "session": _session(done.session, current=done.session.id),
    }


@router.post("/step-up")
def step_up(request: Request, body: StepUp) -> dict[str, Any]:
    """Begin raising this session to a fresh second factor, given for the acts that are named."""
    with door(request).enter(request, write=False) as (unit, caller):
        system = unit.system
    acts = [api.Act(type=one.type, subject=one.subject, parameters=one.parameters) for one in body.acts]
    return _start(api.begin_step_up(system, caller, redirect_uri=body.redirect_uri, acts=acts))


@router.get("/me")
def me(request: Request) -> dict[str, Any]:
    """Who the caller is, as this server sees them."""
    with door(request).enter(request, write=False) as (unit, caller):
        answer: dict[str, Any] = {
            "principal": caller.principal,
            "kind": caller.kind,
            "session": caller.session,
            "binding": caller.binding,
            "device": caller.device,
            "assurance": msgspec.to_builtins(caller.assurance),
            "now": unit.now,
            "audience": api.audience(unit.system),
        }
        if caller.kind == "person":
            answer["person"] = _person(api.person(unit, caller.principal))
        return answer


@router.post("/logout")
def logout(request: Request) -> dict[str, Any]:
    """End the session that asks; `provider` is where a browser signs out at the identity provider too."""
    with door(request).enter(request) as (unit, caller):
        if caller.session is None:
            raise Denied("identity.no_session", "A run has no session to end.", "Stop the run instead.")
        api.end_session(unit, caller.session, api.SIGNED_OUT, caller)
        system, ended = unit.system, caller.session
    return {"ended": ended, "provider": api.sign_out_address(system)}


@router.get("/sessions")
def sessions(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """The caller's own live sessions, newest first, each with what it did lately. Those that are over: `/ended`."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.sessions_of(unit, caller.principal)
        made = paging.window(found, limit, "sessions", lambda one: (-one.created, one.id), cursor, (int, str))
        return paging.answer(made.of(lambda one: _shown(unit, one, current=caller.session)))


@router.get("/sessions/ended")
def ended(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """The caller's own sessions that are over, ended or idle, the latest first, each with what it did: while their
    longest life is not, and for a week more where they gave something."""
    with door(request).enter(request, write=False) as (unit, caller):
        made = api.ended_page(unit, caller.principal, limit, cursor)
        return paging.answer(
            made.of(
                lambda one: {
                    **_shown(unit, one, current=caller.session),
                    "ended": one.ended,
                    "ended_why": one.ended_reason,
                }
            )
        )


@router.post("/sessions/{session}/end")
def end_session(request: Request, session: str, body: End) -> dict[str, Any]:
    """End one of the caller's own sessions. Of one that is over already, what was done in it is taken back."""
    with door(request).enter(request) as (unit, caller):
        if not api.is_of(unit, caller.principal, session):
            raise NotFound("identity.session_unknown", "There is no such session.", "Pick one from your sessions.")
        api.end_session(unit, session, body.reason, caller, of=caller.principal)
        return {"ended": session}


@router.post("/sessions/not-me")
def not_me(request: Request) -> dict[str, Any]:
    """End every session of the caller and set their keys aside, as somebody acts in their name. It only stops, so it
    needs no second factor; security undoes it."""
    with door(request).enter(request) as (unit, caller):
        if caller.kind != "person":
            raise Denied("identity.people_only", "This is for people.", "Stop the run instead.")
        sessions, devices = api.disown(unit, caller)
        return {"sessions": sessions, "devices": devices}


@router.get("/devices")
def devices(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """The caller's own live devices, in the order in which they were enrolled."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.devices_of(unit, caller.principal)
        return paging.answer(paging.window(found, limit, "devices", lambda one: (one.at, one.id), cursor, (int, str)))


@router.get("/devices/aside")
def keys_aside(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """The caller's own keys that were set aside: they sign nothing, and security may let each count again."""
    with door(request).enter(request, write=False) as (unit, caller):
        found = api.keys_aside(unit, caller.principal)
        return paging.answer(paging.window(found, limit, "aside", lambda one: (one.at, one.id), cursor, (int, str)))


@router.post("/devices")
def enrol(request: Request, body: Enrol, key: Key = None) -> dict[str, Any]:
    """Enrol a key that may sign the caller's votes; needs a second factor for exactly that."""
    with door(request).enter(request) as (unit, caller):
        proof = base64.urlsafe_b64decode(body.proof + "==")
        jwk = body.jwk.model_dump()
        answer: dict[str, Any] = once(
            unit,
            key,
            digest(["devices", body.model_dump()]),
            lambda: api.enrol_device(unit, caller, jwk, body.name, proof=proof),
            keeps=api.Device,
        )
        return answer


@router.post("/devices/{device}/confirm")
def confirm_device(request: Request, device: str, body: Confirm) -> dict[str, Any]:
    """Confirm one's new key with an older one: its signature, and a second factor for exactly that."""
    with door(request).enter(request) as (unit, caller):
        value = base64.urlsafe_b64decode(body.signature + "==")
        api.confirm_own_key(unit, caller, device, signed=api.KeySignature(device=body.by, at=body.at, value=value))
        return {"confirmed": device}


@router.post("/devices/{device}/end")
def end_device(request: Request, device: str, body: EndKey) -> dict[str, Any]:
    """End one of the caller's own devices: no vote or ballot that it signed counts any more, and what else was done
    with it lately is taken back, unless it is retired."""
    with door(request).enter(request) as (unit, caller):
        api.end_device(unit, caller, device, body.reason, retired=body.retired, since=body.since)
        return {"ended": device}


@router.get("/people")
def people(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """Everybody in the lab: names and teams, and who is frozen. Why is told to responders at `/people/frozen`."""
    with door(request).enter(request, write=False) as (unit, caller):
        if caller.kind != "person":
            raise Denied("identity.people_only", "The list of people is for people.", "Sign in as yourself.")
        found = api.people(unit)
        return paging.answer(paging.window(found, limit, "people", lambda one: (one.id,), cursor, (str,)).of(_person))


@router.post("/workload/renew")
def renew(request: Request) -> dict[str, Any]:
    """Renew the identity of the run that asks, until its end at most."""
    with door(request).enter(request) as (unit, caller):
        if caller.kind != "workload":
            raise Denied("identity.workloads_only", "Only a run renews a run's identity.", "Sign in again instead.")
        return {"expires": api.renew_workload(unit, caller.attributes["run"])}
