"""Every refusal as one honest answer: RFC 9457 for programs, a page for people. Guards from leaks and half-answers.

The HTTP status is chosen here and nowhere else, from the kind of the error. An error nobody foresaw becomes
`web.internal` with a request id, and its traceback goes to the server's own log only; a disk that is full or
read-only is foreseen, whichever room met it.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weighthouse.core import disk
from weighthouse.core.errors import Invalid, NotFound, WeighthouseError

log = logging.getLogger("weighthouse.web")

STATUS = {
    "invalid": 400,
    "invalid_body": 422,
    "too_slow": 408,
    "too_large": 413,
    "media_type": 415,
    "wrong_host": 421,
    "wrong_method": 405,
    "unauthenticated": 401,
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "too_many": 429,
    "unavailable": 503,
    "internal": 500,
}

TITLES = {
    400: "That does not fit",
    401: "Sign in first",
    403: "The answer is no",
    404: "Not here",
    405: "Not that way",
    408: "Too slow",
    409: "Somebody was first",
    413: "Too large",
    415: "Not in that form",
    421: "Wrong name for this server",
    422: "Something in the form does not fit",
    429: "Used up",
    500: "Something broke here",
    503: "A part is down, so the answer is no",
}


class InvalidBody(WeighthouseError):
    """The body does not have the declared shape."""

    kind = "invalid_body"


class WrongMethod(WeighthouseError):
    """The path exists, the method does not."""

    kind = "wrong_method"


# Somebody who is simply not signed in is sent to do it; every other 401 has something to say and says it.
_JUST_SIGN_IN = frozenset(
    {
        "identity.no_credential",
        "identity.session_unknown",
        "identity.session_ended",
        "identity.session_expired",
    }
)


def needs_step_up(error: WeighthouseError) -> bool:
    """Return whether a fresh second factor would answer this refusal; every room ends such a code alike."""
    return error.code.endswith((".step_up_needed", ".step_up_required", ".act_unconfirmed"))


def status_of(error: WeighthouseError) -> int:
    """Return the HTTP status of an error."""
    return STATUS.get(error.kind, 500)


def wants_page(scope: Scope) -> bool:
    """Return whether the answer should be a page: a browser asks, and not where programs ask."""
    if scope["path"].startswith(("/api/", "/static/", "/workload/")):
        return False
    accepts = Request(scope).headers.get("accept", "")
    return "text/html" in accepts


def to_problem(scope: Scope, error: WeighthouseError) -> Response:
    """Return the RFC 9457 answer: type, title, status, detail, plus code, remedy and the request id."""
    status = status_of(error)
    body = {
        "type": f"urn:weighthouse:error:{error.code}",
        "title": TITLES.get(status, "Refused"),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "remedy": error.remedy,
        "request": scope.get("state", {}).get("request_id", ""),
        **({"step_up": True} if needs_step_up(error) else {}),
        **{name: value for name, value in error.details.items() if name not in _OWN},
    }
    headers = {"WWW-Authenticate": _challenge(error)} if status == 401 else {}
    if "retry_after" in error.details:
        headers["Retry-After"] = str(error.details["retry_after"])
    return Response(json.dumps(body, ensure_ascii=False), status, headers, media_type="application/problem+json")


def _challenge(error: WeighthouseError) -> str:
    """What a 401 asks for: a token with a proof, or (RFC 9449, section 8) the proof again, with a nonce of ours."""
    again = ' error="use_dpop_nonce",' if error.code == "identity.proof_nonce" else ""
    return f'DPoP{again} algs="ES256"'


_OWN = frozenset({"type", "title", "status", "detail", "code", "remedy", "request"})


def to_page(request: Request, error: WeighthouseError) -> Response:
    """Return the error page, or send somebody who only looked around to the sign-in page and back afterwards."""
    status = status_of(error)
    if error.code in _JUST_SIGN_IN and request.method in ("GET", "HEAD"):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/sign-in?return_to=" + quote(here, safe=""), 303)
    if error.code == "identity.act_unconfirmed":  # say what is confirmed, then lead on to the provider and back
        asked = urlencode({"acts": str(error.details["acts"]), "return_to": back_to(request) or "/"})
        return RedirectResponse(f"/confirm?{asked}", 303)
    door = request.app.state.door
    page: Response = door.render(
        request,
        "web/error.html",
        status,
        error=error,
        title=TITLES.get(status, "Refused"),
        step_up=needs_step_up(error),
        back=back_to(request),
    )
    return page


def back_to(request: Request) -> str:
    """Return the path of our own page that led here, or an empty text. A place that only takes forms is no page."""
    came = urlsplit(request.headers.get("referer", ""))
    ours = f"{came.scheme}://{came.netloc}" == request.app.state.origin
    again = came.path == request.url.path and request.method in ("GET", "HEAD")
    if not ours or again or came.path.startswith("//") or not _has_page(request, came.path):
        return ""
    return came.path + (f"?{came.query}" if came.query else "")


def _has_page(request: Request, path: str) -> bool:
    asked = {**request.scope, "method": "GET", "path": unquote(path)}
    return any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)


def answer(request: Request, error: WeighthouseError) -> Response:
    """Return the answer to `error` in the form that the caller reads."""
    if wants_page(request.scope):
        return to_page(request, error)
    return to_problem(request.scope, error)


async def refuse(scope: Scope, receive: Receive, send: Send, error: WeighthouseError) -> None:
    """Answer `error` from inside the middleware."""
    await answer(Request(scope, receive), error)(scope, receive, send)


def internal(request_id: str) -> WeighthouseError:
    """Return what an outsider may know about an error nobody foresaw."""
    return WeighthouseError(
        "web.internal",
        "The server met an error that it did not foresee. Nothing was half-done: the change was rolled back.",
        f"Try again; if it stays, give the operator the request id {request_id}, which is in the server's log.",
    )


def from_status(status: int) -> WeighthouseError:
    """Return the error for a status that the router or a parser of the framework itself answered with."""
    if status == 405:
        return WrongMethod(
            "web.method_not_allowed",
            "This address exists, but not for that method.",
            "The API reference lists the methods of each address.",
        )
    if status == 404:
        return NotFound(
            "web.not_found",
            "There is nothing at this address, or you may not know of it.",
            "Check the address, or start from the home page.",
        )
    # The framework's own parsers say 400; whatever else it may say one day is a refusal too, never a server error.
    return Invalid("web.refused", "The request could not be read, so nothing was done.", "Check the request.")


class Catch:
    """Turns whatever nobody foresaw into `web.internal`; the traceback stays in the log, next to the request id.

    `state` is the folder that the server writes to, besides the system's folder for what is temporary.
    """

    def __init__(self, app: ASGIApp, state: Path) -> None:
        self._app = app
        self._places = (state, Path(tempfile.gettempdir()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            request_id = scope["state"]["request_id"]
            log.exception("request %s %s failed", request_id, scope["path"])
            if started:
                raise
            told = disk.explained(error, self._places) or internal(request_id)
            await _last_answer(scope, receive, send, told)


async def _last_answer(scope: Scope, receive: Receive, send: Send, error: WeighthouseError) -> None:
    try:
        response = answer(Request(scope, receive), error)
    except Exception:  # the page itself is what broke: say it without one
        log.exception("the error page failed too")
        response = to_problem(scope, error)
    await response(scope, receive, send)


def invalid_body(error: RequestValidationError) -> WeighthouseError:
    """Return the error that names each field that does not fit; the values themselves are not repeated."""
    found = [(".".join(str(part) for part in item["loc"]), str(item["msg"])) for item in error.errors()]
    text = "; ".join(f"{place.split('.', 1)[-1]}: {what}" for place, what in found[:8])
    return InvalidBody(
        "web.invalid_body",
        f"These fields do not fit: {text}.",
        "Correct the named fields; the API reference gives the shape, and unknown fields are refused.",
        fields=",".join(place for place, _ in found[:32]),
    )
