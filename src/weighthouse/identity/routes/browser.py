"""The browser's way in and out: /login, /callback, /step-up, /logout. Guards from fixation and open redirects.

Every cookie is `__Host-`, HttpOnly, Secure and Lax; a session cookie is always a new value, made after every check.
"""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.core.door import door
from weighthouse.core.errors import Invalid, Unauthenticated, WeighthouseError
from weighthouse.identity import api
from weighthouse.identity.api import (
    DEVICE_COOKIE,
    MOST_BEGUN,
    SESSION_COOKIE,
    SEVERAL,
    START_COOKIE,
    SignedIn,
    SignInStart,
)
from weighthouse.identity.routes.reception import arrival_of, system_of

router = APIRouter(include_in_schema=False)

START_S = 600
_LOADED_AGAIN = frozenset({"identity.start_unknown", "identity.state_mismatch"})
PUSHED_S = 50
MAX_ACTS = 4_096
DEVICE_S = 180 * 86_400


def _go(target: str) -> Response:
    return RedirectResponse(target, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _keep(response: Response, name: str, value: str, seconds: int | None) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def _drop(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")


def _to_provider(request: Request, start: SignInStart) -> Response:
    response = _go(start.url)
    _keep(response, START_COOKIE, _begun(request, start), START_S)
    return response


def _begun(request: Request, start: SignInStart) -> str:
    """The attempts that this browser has begun: each tab comes back to its own, whichever began last."""
    before = api.cookie(request.headers.items(), START_COOKIE).split(SEVERAL)
    return SEVERAL.join([one for one in [*before, start.transaction] if one][-MOST_BEGUN:])


@router.get("/login")
def login(request: Request, return_to: str = "/") -> Response:
    """Begin a sign-in and send the browser to the identity provider."""
    system = system_of(request)
    came = arrival_of(request, system)
    start = api.begin_sign_in(
        system,
        return_to,
        redirect_uri=api.callback_of(system),
        address=came.address,
        device_mark=came.device_mark,
    )
    return _to_provider(request, start)


@router.get("/step-up")
def step_up(request: Request, return_to: str = "/") -> Response:
    """Send the signed-in person to the identity provider for a fresh second factor."""
    with door(request).enter(request, write=False) as (unit, caller):
        system = unit.system
    return _to_provider(request, api.begin_step_up(system, caller, return_to, redirect_uri=api.callback_of(system)))


@router.get("/confirm")
def confirm(request: Request, acts: str, return_to: str = "/", again: str = "") -> Response:
    """Say in words what a second factor is asked for, and lead on to the provider. Nothing is done by looking.

    The words are made here from the acts themselves; whoever sends a person here with other acts than they meant
    has them read so. A page that comes `again` by itself keeps no session from ending idle.
    """
    with door(request).enter(request, write=False, use=not again) as (unit, caller):
        system = unit.system
    try:
        wanted = msgspec.json.decode(acts[:MAX_ACTS], type=list[api.Act])
    except msgspec.MsgspecError:
        wanted = []
    if not wanted:
        raise Invalid("identity.bad_act", "The acts to confirm cannot be read.", "Start from the page again.")
    start = api.begin_step_up(system, caller, return_to, redirect_uri=api.callback_of(system), acts=wanted)
    with door(request).enter(request, write=False, use=not again):
        page = door(request).render(
            request, "identity/confirm.html", acts=start.acts, provider=start.url, return_to=return_to
        )
    _keep(page, START_COOKIE, _begun(request, start), START_S)
    if start.good_s:  # what was pushed is good for a minute at some providers: ask anew before it ends
        soon = max(1, min(PUSHED_S, start.good_s * 5 // 6))
        here = urlencode({"acts": acts, "return_to": return_to, "again": "yes"})
        page.headers["Refresh"] = f"{soon}; url=/confirm?{here}"
    return page


@router.get("/callback")
def callback(request: Request) -> Response:
    """Take the provider's answer: a session, or on to the second factor that the risk check demands."""
    system = system_of(request)
    params = dict(request.query_params)
    if len(params) != len(request.query_params.multi_items()):
        raise Invalid("identity.bad_callback", "The answer names one parameter twice.", "Sign in again.")
    transaction = api.cookie(request.headers.items(), START_COOKIE)
    try:
        done = api.finish_sign_in(system, transaction, params, arrival_of(request, system))
    except Unauthenticated as error:
        if error.code in _LOADED_AGAIN and _signed_in(request):
            return _go("/")  # the page was loaded again after it had done its work
        raise
    if not isinstance(done, SignedIn):
        return _to_provider(request, done)
    response = _go(done.return_to)
    _keep(response, SESSION_COOKIE, done.secret, None)
    if SEVERAL not in transaction:
        _drop(response, START_COOKIE)
    if done.device_mark:
        _keep(response, DEVICE_COOKIE, done.device_mark, DEVICE_S)
    return response


def _signed_in(request: Request) -> bool:
    try:
        with door(request).enter(request, write=False):
            return True
    except WeighthouseError:
        return False


@router.post("/logout")
def logout(request: Request) -> Response:
    """End this session, and go on to the provider's own sign-out. Without a live one, only the cookies go."""
    there = "/"
    try:
        with door(request).enter(request) as (unit, caller):
            if caller.session is not None:
                api.end_session(unit, caller.session, api.SIGNED_OUT, caller)
                there = "/sign-in?left=yes"
    except Unauthenticated as error:
        if error.code == "identity.session_used_elsewhere":
            raise
    response = _go(there)
    _drop(response, SESSION_COOKIE)
    _drop(response, START_COOKIE)
    return response
