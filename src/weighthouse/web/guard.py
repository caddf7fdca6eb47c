"""The cross-site guard: no other site can make a signed-in browser change anything. Also stops DNS rebinding.

Every unsafe request that a browser's ambient credentials could carry must come from our own origin (Origin and
Sec-Fetch-Site, W3C Fetch Metadata) and, when it carries the session cookie, bring the token that our own page gave
it: an HMAC of the session under a key outside the database. A request with an Authorization header is exempt, since
no other site can add one without our consent (we grant no CORS).
"""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from weighthouse.core.errors import Denied, Invalid, WeighthouseError
from weighthouse.core.signing import Signers, equal
from weighthouse.identity import api as identity
from weighthouse.web.problems import from_status, refuse
from weighthouse.web.reading import parts

BROKER = "weighthouse.run"
"""The ASGI scope key by which the broker's own listener names the run; a header of that name means nothing."""

WORKLOAD = "/workload/"
FIELD = "csrf"
HEADER = "x-csrf-token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class WrongHost(Invalid):
    """The request names a host that is not ours; the status is 421."""

    kind = "wrong_host"


def token(signers: Signers, session_cookie: str) -> str:
    """Return the form token of one session: HMAC-SHA256 over the digest of its cookie, base64url."""
    code = signers.mac("session", b"csrf\x00" + hashlib.sha256(session_cookie.encode()).digest())
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


class Guard:
    """Refuses what another site caused. `outside` are path prefixes of foreign parties mounted here (the dev IdP)."""

    def __init__(
        self, app: ASGIApp, signers: Signers, origin: str, hosts: frozenset[str], outside: tuple[str, ...]
    ) -> None:
        self._app = app
        self._signers = signers
        self._origin = origin
        self._host = urlsplit(origin).netloc
        self._hosts = hosts
        self._outside = outside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check_host(request)
            self._check_listener(request)
            if self._carries_ambient_power(request):
                self._check_site(request)
                self._check_token(request)
        except WeighthouseError as error:
            await refuse(scope, receive, send, error)
            return
        await self._app(scope, receive, send)

    def _carries_ambient_power(self, request: Request) -> bool:
        foreign = self._outside and request.url.path.startswith(self._outside)
        return request.method not in _SAFE and "authorization" not in request.headers and not foreign

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if BROKER not in request.scope and host != self._host and host not in self._hosts:
            raise WrongHost(
                "web.wrong_host",
                "This server does not answer under the host name that the request used.",
                f"Open {self._origin} instead, or set server.origin to the name people use.",
            )

    def _check_listener(self, request: Request) -> None:
        # What is for runs is reached over the one socket that a run has, never over the network.
        if request.url.path.startswith(WORKLOAD) and BROKER not in request.scope:
            raise from_status(404)

    def _check_site(self, request: Request) -> None:
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        known = site is not None or origin is not None
        ambient = bool(identity.cookie(request.headers.items(), identity.SESSION_COOKIE))
        foreign = (site not in (None, "same-origin")) or (origin not in (None, self._origin))
        if foreign or (not known and ambient):
            raise Denied(
                "web.cross_site",
                "Another site caused this request, or the browser did not say which site did; nothing was changed.",
                f"Open {self._origin} itself and do it there.",
            )

    def _check_token(self, request: Request) -> None:
        session = identity.cookie(request.headers.items(), identity.SESSION_COOKIE)
        if not session:
            return
        given = request.headers.get(HEADER) or _form_token(request)
        if not equal(given.encode(), token(self._signers, session).encode()):
            raise Denied(
                "web.form_token",
                "The form did not carry the token of your session: it is from an older session or another page.",
                "Go back, reload the page and send the form again.",
            )


def _form_token(request: Request) -> str:
    kind = request.headers.get("content-type", "")
    body: bytes = request.scope["state"].get("body", b"")
    if kind.startswith("multipart/form-data"):
        return _part_token(kind, body)
    if not kind.startswith("application/x-www-form-urlencoded"):
        return ""
    try:
        fields = parse_qs(body.decode("utf-8"), max_num_fields=1_000)
    except ValueError:
        return ""
    found = fields.get(FIELD, [])
    return found[0] if len(found) == 1 else ""


def _part_token(kind: str, body: bytes) -> str:
    """Return the token of a form that carries files, which is the one field of that name."""
    found = [content for name, is_file, content in parts(kind, body) if name == FIELD and not is_file]
    return found[0].decode("latin-1") if len(found) == 1 else ""
