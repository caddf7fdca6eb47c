"""detect's JSON endpoints. Parse, ask the room, answer; every judgement is in the room."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from weighthouse.core import paging
from weighthouse.core.answers import once
from weighthouse.core.canonical import digest
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.detect import api
from weighthouse.identity import api as identity

router = APIRouter(prefix="/api/v1", tags=["detect"])

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]


class Acknowledge(BaseModel):
    """What the responder has to say about it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    note: str = Field(default="", max_length=api.NOTE_LIMIT)


class Because(BaseModel):
    """Why a responder does this; it goes into the log."""

    model_config = ConfigDict(extra="forbid", strict=True)
    reason: str = Field(min_length=1, max_length=500)


class Opening(BaseModel):
    """The caller's own grown key `by` and its signature (ES256, r and s, base64url) over the canonical
    {"type": "weighthouse/open/2", "audience", "act", "subject", "person": the caller, "device": by, "at"}, not older
    than ten minutes; `audience` is what `GET /me` says. The act is "person.thaw" and its subject the
    person, or "person.key" and person/thumbprint."""

    model_config = ConfigDict(extra="forbid", strict=True)
    by: str | None = Field(default=None, min_length=1, max_length=64)
    at: int | None = Field(default=None, ge=0, le=2**53)
    signature: str | None = Field(default=None, min_length=86, max_length=86, pattern=r"^[A-Za-z0-9_-]+$")

    def signed(self) -> identity.KeySignature | None:
        """The signature, if one was sent."""
        if self.by is None or self.at is None or self.signature is None:
            return None
        return identity.KeySignature(
            device=self.by, at=self.at, value=base64.urlsafe_b64decode(self.signature + "==")
        )


class Thaw(Opening):
    """Why, and the signature."""

    reason: str = Field(min_length=1, max_length=500)


class ConfirmOthers(BaseModel):
    """Confirm somebody's new key: `signature` (ES256, r and s, base64url) of the caller's own grown key `by` over the
    canonical {"type": "weighthouse/confirm-key/3", "audience", "person", "thumbprint", "device" of the new one, "by",
    "at"}, not older than ten minutes, and good once."""

    model_config = ConfigDict(extra="forbid", strict=True)
    by: str = Field(min_length=1, max_length=64)
    at: int = Field(ge=0, le=2**53)
    signature: str = Field(min_length=86, max_length=86, pattern=r"^[A-Za-z0-9_-]+$")


class EndOthersKey(Because):
    """Why, and from when on (milliseconds; a week, if it is not named) what was done with the key is taken back."""

    since: int | None = Field(default=None, ge=0, le=2**53)


@router.get("/alerts")
def list_alerts(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """Alerts, newest first. Needs `session.end` or `audit.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        return paging.answer(api.alerts_page(unit, caller, cursor=cursor, limit=limit))


@router.get("/alerts/{alert}")
def read_alert(request: Request, alert: str) -> dict[str, Any]:
    """One alert with its evidence and response. Needs `session.end` or `audit.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        found: dict[str, Any] = msgspec.to_builtins(api.alert(unit, caller, alert))
        return found


@router.post("/alerts/{alert}/acknowledge")
def acknowledge(request: Request, alert: str, body: Acknowledge, key: Key = None) -> dict[str, Any]:
    """Put on record that a responder has seen the alert. Needs `session.end` on the lab."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            digest(["alerts", alert, body.model_dump()]),
            lambda: api.acknowledge(unit, caller, alert, body.note),
            keeps=api.Alert,
        )
        return answer


@router.get("/people/frozen")
def list_frozen(request: Request, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """Who is frozen, and why. Needs `person.freeze` or `audit.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        found = api.frozen(unit, caller)
        return paging.answer(paging.window(found, limit, "frozen", lambda one: (one.id,), cursor, (str,)))


@router.get("/people/{person}/sessions")
def list_sessions(
    request: Request, person: str, limit: Limit = paging.USUAL, cursor: Cursor = None
) -> dict[str, Any]:
    """A person's live sessions, newest first. Those that are over: `/ended`. Needs `session.end` on the lab."""
    with door(request).enter(request) as (unit, caller):
        found = api.sessions_of(unit, caller, person)
        shown = paging.window(found, limit, "sessions", lambda one: (-one.created, one.id), cursor, (int, str))
        return paging.answer(shown)


@router.get("/people/{person}/sessions/ended")
def list_ended(request: Request, person: str, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """A person's sessions that are over, ended or idle, the latest first, and may have given something that lives on.
    Needs `session.end` on the lab."""
    with door(request).enter(request) as (unit, caller):
        return paging.answer(api.ended_page(unit, caller, person, limit, cursor))


@router.post("/people/{person}/sessions/{session}/end")
def end_session(request: Request, person: str, session: str, body: Because) -> dict[str, Any]:
    """End one session of a person. Needs `session.end` on the lab."""
    with door(request).enter(request) as (unit, caller):
        api.end_session(unit, caller, person, session, body.reason)
        return {"ended": session}


@router.post("/people/{person}/freeze")
def freeze(request: Request, person: str, body: Because) -> dict[str, Any]:
    """End every session of a person and let nobody sign in as them. Needs `person.freeze` on the lab."""
    with door(request).enter(request) as (unit, caller):
        api.freeze(unit, caller, person, body.reason)
        return {"frozen": person}


@router.get("/people/{person}/devices")
def list_keys(request: Request, person: str, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """A person's live keys. Needs `person.freeze` on the lab."""
    with door(request).enter(request) as (unit, caller):
        found = api.keys_of(unit, caller, person)
        return paging.answer(paging.window(found, limit, "keys", lambda one: (one.at, one.id), cursor, (int, str)))


@router.post("/people/{person}/devices/{device}/end")
def end_key(request: Request, person: str, device: str, body: EndOthersKey) -> dict[str, Any]:
    """End one key of somebody for good; it signs nothing any more, its sessions end, and what was done with it lately
    is taken back. Not the last one of a member without whom the committee could decide nothing. Needs
    `person.freeze` on the lab."""
    with door(request).enter(request) as (unit, caller):
        api.end_key(unit, caller, person, device, body.reason, since=body.since)
        return {"ended": device}


@router.get("/people/{person}/devices/aside")
def list_keys_aside(
    request: Request, person: str, limit: Limit = paging.USUAL, cursor: Cursor = None
) -> dict[str, Any]:
    """A person's keys that were set aside and may count again. Needs `person.freeze` on the lab."""
    with door(request).enter(request) as (unit, caller):
        found = api.keys_aside(unit, caller, person)
        return paging.answer(paging.window(found, limit, "aside", lambda one: (one.at, one.id), cursor, (int, str)))


@router.post("/people/{person}/devices/{device}/restore")
def restore_key(request: Request, person: str, device: str, body: Opening) -> dict[str, Any]:
    """Let one key count again that was set aside, after asking its owner. Needs `person.freeze` on the lab, a second
    factor, and a signature by a grown key of one's own, both over the person and the key."""
    with door(request).enter(request) as (unit, caller):
        found = api.restore_key(unit, caller, person, device, signed=body.signed())
        return {"restored": found.id, "thumbprint": found.thumbprint}


@router.post("/people/{person}/devices/{device}/confirm")
def confirm_key(request: Request, person: str, device: str, body: ConfirmOthers) -> dict[str, Any]:
    """Confirm somebody else's new key with a grown key of one's own, after asking them. Needs `person.freeze` on the
    lab, and a second factor."""
    with door(request).enter(request) as (unit, caller):
        value = base64.urlsafe_b64decode(body.signature + "==")
        signed = identity.KeySignature(device=body.by, at=body.at, value=value)
        api.confirm_key(unit, caller, person, device, signed=signed)
        return {"confirmed": device}


@router.post("/people/{person}/thaw")
def thaw(request: Request, person: str, body: Thaw) -> dict[str, Any]:
    """Let a frozen person sign in again. Needs `person.freeze` on the lab, a second factor, and a signature by a
    grown key of one's own."""
    with door(request).enter(request) as (unit, caller):
        api.thaw(unit, caller, person, body.reason, signed=body.signed())
        return {"thawed": person}
