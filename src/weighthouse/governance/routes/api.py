"""governance's JSON endpoints. Parse, ask the room, answer; signatures are made on the member's own device."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from weighthouse.core import paging
from weighthouse.core.answers import once
from weighthouse.core.canonical import digest
from weighthouse.core.door import Cursor, Limit, door
from weighthouse.governance import api
from weighthouse.policy.api import LAB_LIMIT

router = APIRouter(prefix="/api/v1", tags=["governance"])

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Open(Body):
    """A question for the committee."""

    cls: Literal["ordinary", "release_clear", "hold", "lift_hold", "charter_change"] = Field(alias="class")
    subject: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=10_000)
    policy: str | None = Field(default=None, min_length=1, max_length=LAB_LIMIT)
    """The policy text that a `charter_change` would publish; the subject is then its digest."""


class Cast(Body):
    """A ballot with its signature over the statement that the motion showed."""

    ballot: Literal["for", "against", "abstain", "recuse"]
    digest: str = Field(min_length=71, max_length=71)
    device: str = Field(max_length=64)
    at: int = Field(ge=0, lt=2**53)
    signature: str = Field(min_length=86, max_length=86)


class Hold(Body):
    """A call to hold the release of a model."""

    model: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=2_000)


def _view(one: api.MotionView) -> dict[str, Any]:
    return _shown(msgspec.to_builtins(one))


def _shown(built: dict[str, Any]) -> dict[str, Any]:
    """A motion in the words of the interface; an answer that an older version kept is in them already."""
    if "cls" in built["motion"]:
        built["motion"]["class"] = built["motion"].pop("cls")
    return built


@router.get("/committee")
def read_committee(request: Request) -> dict[str, Any]:
    """The charter in force, with its seats and what it lacks. For everybody who is signed in.

    `until` of a seat is the UTC midnight that begins the last day of its term, which counts to the end of that day.
    """
    with door(request).enter(request, write=False) as (unit, _caller):
        charter: dict[str, Any] = msgspec.to_builtins(api.charter_of(unit))
        return {**charter, "vacancies": list(api.vacancies(unit))}


@router.get("/motions")
def list_motions(
    request: Request,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = paging.USUAL,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Motions, newest first, each with its live count. Needs `committee.vote` or `audit.read` on the lab."""
    with door(request).enter(request) as (unit, caller):
        found = api.motions_page(unit, caller, subject=subject, cursor=cursor, limit=limit)
        return paging.answer(found.of(_view))


@router.post("/motions")
def open_motion(request: Request, body: Open, key: Key = None) -> dict[str, Any]:
    """Put a question to the committee. Needs a voting seat and a fresh second factor."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            digest(["motions", body.model_dump()]),
            lambda: api.open_motion(unit, caller, body.cls, body.subject, body.text, policy_text=body.policy),
            keeps=api.MotionView,
        )
        return _shown(answer)


@router.get("/motions/{motion}")
def read_motion(request: Request, motion: str) -> dict[str, Any]:
    """One motion, counted from the log, with the statement that the caller would sign."""
    with door(request).enter(request) as (unit, caller):
        return _view(api.motion(unit, caller, motion))


@router.post("/motions/{motion}/ballots")
def cast(request: Request, motion: str, body: Cast, key: Key = None) -> dict[str, Any]:
    """Cast a ballot, or recuse. Needs a voting seat, a fresh second factor and the member's device."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            digest(["ballots", motion, body.model_dump()]),
            lambda: api.cast(
                unit,
                caller,
                motion,
                body.ballot,
                digest=body.digest,
                device=body.device,
                at=body.at,
                signature=body.signature,
            ),
            keeps=api.Ballot,
        )
        return answer


@router.post("/motions/{motion}/close")
def close(request: Request, motion: str, key: Key = None) -> dict[str, Any]:
    """Count, decide and close; refused below quorum, and while an answer still missing could change the outcome."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit, key, digest(["close", motion]), lambda: api.close(unit, caller, motion), keeps=api.MotionView
        )
        return _shown(answer)


@router.get("/holds/preview")
def preview_hold(
    request: Request,
    subject: Annotated[str, Query(min_length=1, max_length=260)],
    actions: Annotated[str, Query(max_length=1_000)] = "",
) -> dict[str, Any]:
    """What a hold would stop now, in words and numbers; places nothing. For who may place it, or hold releases.
    `actions` is a list with commas; without it, all that a hold stops."""
    with door(request).enter(request) as (unit, caller):
        named = tuple(one.strip() for one in actions.split(",") if one.strip())
        shown: dict[str, Any] = msgspec.to_builtins(api.preview_hold(unit, caller, subject, named))
        return shown


@router.get("/holds/{hold_id}")
def show_hold(request: Request, hold_id: str) -> dict[str, Any]:
    """A hold, standing or lifted, and how often it has stopped something. For who may place holds, hold releases, or
    read the log."""
    with door(request).enter(request) as (unit, caller):
        shown: dict[str, Any] = msgspec.to_builtins(api.show_hold(unit, caller, hold_id))
        return shown


@router.get("/holds/{hold_id}/stopped")
def stopped(request: Request, hold_id: str, limit: Limit = paging.USUAL, cursor: Cursor = None) -> dict[str, Any]:
    """What a hold has stopped, newest first, by the lines of the log that name it. For the same people."""
    with door(request).enter(request) as (unit, caller):
        return paging.answer(api.stopped_page(unit, caller, hold_id, cursor=cursor, limit=limit))


@router.get("/releases")
def read_release(request: Request, model: Annotated[str, Query(max_length=200)]) -> dict[str, Any]:
    """Whether the release of a model is held, and what would change that. For everybody who is signed in."""
    with door(request).enter(request, write=False) as (unit, _caller):
        status: dict[str, Any] = msgspec.to_builtins(api.release_status(unit, model))
        return status


@router.post("/releases/hold")
def hold(request: Request, body: Hold, key: Key = None) -> dict[str, Any]:
    """Call for a hold on a release: at once by the chair, or with a second member's call."""
    with door(request).enter(request) as (unit, caller):
        answer: dict[str, Any] = once(
            unit,
            key,
            digest(["hold", body.model_dump()]),
            lambda: api.place_release_hold(unit, caller, body.model, body.reason),
            keeps=api.ReleaseStatus,
            stops=True,
        )
        return answer
