"""The door: the one place where a request becomes an open unit of work and an authenticated caller.

Guards rooms from HTTP. What a request presents is read and judged by the identity room alone; the door adds our own
origin (never the Host header), the connection's own peer address, and the run that the broker's listener vouches for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from starlette.requests import Request
from starlette.responses import Response

from weighthouse.core.caller import Caller
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.web.frame import Frame
from weighthouse.web.guard import BROKER

Dress = Callable[[Request, Unit, Caller], None]


class ConsoleDoor:
    """The real door (core.door.Door). `dress` looks up what the frame shows about a signed-in person."""

    def __init__(self, system: System, frame: Frame, origin: str, dress: Dress) -> None:
        self._system = system
        self._frame = frame
        self._origin = origin
        self._dress = dress

    @contextmanager
    def enter(self, request: Request, *, write: bool = True, use: bool = True) -> Iterator[tuple[Unit, Caller]]:
        """Open a unit for an authenticated caller; raises Unauthenticated `identity.*`."""
        credential = self._credential(request)
        # Authentication has a unit of its own: it must be able to end a session that is used from elsewhere, and to
        # note the last use, whatever becomes of the work that follows.
        with read(self._system, request_id=_request_id(request)) as unit:
            caller = identity.authenticate(unit, credential, use=use)
        open_unit = begin if write else read
        with open_unit(self._system, caller, request_id=_request_id(request)) as unit:
            state = request.scope.setdefault("state", {})
            state["unit"], state["caller"] = unit, caller
            try:
                if credential.kind == "cookie":
                    self._dress(request, unit, caller)
                yield unit, caller
            finally:
                state["unit"] = None

    @contextmanager
    def anonymous(self, request: Request, *, write: bool = True) -> Iterator[Unit]:
        """Open a unit for a place that needs no sign-in."""
        open_unit = begin if write else read
        with open_unit(self._system, request_id=_request_id(request)) as unit:
            yield unit

    def recognise(self, request: Request) -> None:
        """Let a page that answers nobody in particular (an unknown address) keep the reader's own frame around it."""
        with suppress(WeighthouseError), self.enter(request, write=False):
            pass

    def render(self, request: Request, template: str, status: int = 200, **context: object) -> Response:
        """Render a page inside the frame."""
        return self._frame.render(request, template, status, context)

    def address(self, request: Request) -> str:
        """Return the address a request counts as coming from: the peer's, or what a trusted proxy forwarded."""
        trusted = _trusted(self._system)
        return identity.client_address(_peer(request), request.headers.items(), trusted)

    def _credential(self, request: Request) -> identity.Credential:
        return identity.read_credential(
            request.headers.items(),
            method=request.method,
            url=self._origin + request.url.path,
            peer=_peer(request),
            trusted_proxies=self._system.settings.text("identity.trusted_proxies"),
            run=str(request.scope.get(BROKER, "")),
        )


def _trusted(system: System) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    named = system.settings.text("identity.trusted_proxies")
    return [ipaddress.ip_network(part.strip()) for part in named.split(",") if part.strip()]


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))
