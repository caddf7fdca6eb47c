"""Pages of identity: the sign-in page, and one's own sessions and devices.

Guards people from not knowing where they are signed in. What belongs to somebody else is answered as if it did not
exist; enrolling a key demands its own signature over person and thumbprint, as the API does.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from weighthouse.core import paging
from weighthouse.core.door import door
from weighthouse.core.errors import Invalid, NotFound
from weighthouse.identity import api
from weighthouse.identity.routes.reception import system_of
from weighthouse.identity.rules.return_path import check_return_path

router = APIRouter(include_in_schema=False)

_DONE = {
    "ended": "The session has ended. Its next request is refused.",
    "device-ended": "The device's key counts no more, and what was done with it in the last week is taken back.",
    "device-retired": "The device's key counts no more. Nothing is said against what was done with it.",
}


@router.get("/sign-in")
def sign_in(request: Request, return_to: str = "/", left: str = "") -> Response:
    """Say what signing in means here, and offer to begin; a return to anything but our own pages goes home.

    Who has `left` is led on to the provider's own sign-out, where there is one, and comes back from there.
    """
    try:
        there = check_return_path(return_to)
    except Invalid:
        there = "/"
    onward = api.sign_out_address(system_of(request)) if left else ""
    page = door(request).render(request, "identity/sign_in.html", return_to=there, left=bool(left), onward=onward)
    if onward:  # not a redirect of the form: what our forms lead to is this site alone
        page.headers["Refresh"] = f"1; url={onward}"
    return page


@router.get("/sessions")
def sessions(request: Request, done: str = "", ended: str | None = None) -> Response:
    """One's own live sessions and devices, and a page of the sessions that are over, from the cursor `ended` on."""
    with door(request).enter(request, write=False) as (unit, caller):
        live = api.sessions_of(unit, caller.principal)
        over = paging.links(api.ended_page(unit, caller.principal, paging.USUAL, ended), "/sessions", name="ended")
        return door(request).render(
            request,
            "identity/sessions.html",
            sessions=live,
            ended=over.items,
            pages=over,
            devices=api.devices_of(unit, caller.principal),
            aside=api.keys_aside(unit, caller.principal),
            lately={one.id: api.lately(unit, one.id) for one in (*live, *over.items)},
            waiting=api.waiting_keys(unit, caller.principal),
            at_once=api.at_once(unit.system),
            current=caller.session,
            done=_DONE.get(done, ""),
        )


@router.post("/sessions/{session}/end")
def end_session(request: Request, session: str) -> Response:
    """End one of one's own sessions."""
    with door(request).enter(request) as (unit, caller):
        if not api.is_of(unit, caller.principal, session):
            raise NotFound("identity.session_unknown", "There is no such session.", "Pick one from your sessions.")
        api.end_session(unit, session, "ended by its owner", caller, of=caller.principal)
    return RedirectResponse("/sessions?done=ended", 303)


@router.post("/sessions/not-me")
def not_me(request: Request) -> Response:
    """Stop everything that is done in the caller's name; their own browser is signed out with it."""
    with door(request).enter(request) as (unit, caller):
        api.disown(unit, caller)
    return RedirectResponse("/sign-in?return_to=/sessions", 303)


@router.post("/devices")
def enrol(
    request: Request,
    jwk: Annotated[str, Form(max_length=1024)],
    name: Annotated[str, Form(max_length=80)],
    proof: Annotated[str, Form(min_length=86, max_length=86)],
) -> Response:
    """Enrol the key that this browser has made; only a script can hold one, so the answer is JSON."""
    with door(request).enter(request) as (unit, caller):
        device = api.enrol_device(unit, caller, _jwk(jwk), name, proof=_bytes(proof))
    return JSONResponse({"device": device.id, "at": device.at})


@router.post("/devices/{device}/end")
def end_device(request: Request, device: str, retired: Annotated[str, Form(max_length=3)] = "") -> Response:
    """End one of one's own devices: as stolen, or not one's own, unless it is said to be retired."""
    with door(request).enter(request) as (unit, caller):
        api.end_device(unit, caller, device, "ended by its owner", retired=retired == "yes")
    return RedirectResponse(f"/sessions?done=device-{'retired' if retired == 'yes' else 'ended'}", 303)


def _jwk(text: str) -> dict[str, str]:
    try:
        found: Any = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        raise _bad_key("The key is not a JSON Web Key.") from None
    if set(found) != {"kty", "crv", "x", "y"}:
        raise _bad_key("The key has other members than kty, crv, x and y.")
    return dict(found)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _bad_key("The proof is not base64url.") from None


def _bad_key(what: str) -> Invalid:
    return Invalid("identity.bad_key", what, "Reload the page, so that the browser makes a fresh key.")
