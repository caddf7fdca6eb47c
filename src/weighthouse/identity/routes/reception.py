"""How a request arrived, for the endpoints that make sessions. Guards the binding of a session from headers.

The address is judged by the one door; our own origin comes from the settings. Nothing here reads the Host header.
"""

from __future__ import annotations

from typing import Protocol, cast

from starlette.requests import Request

from weighthouse.core.door import Door, door
from weighthouse.core.work import System
from weighthouse.identity.api import DEVICE_COOKIE, SESSION_COOKIE, Arrival, cookie
from weighthouse.identity.ports import Site

MAX_AGENT = 512


class Reception(Door, Protocol):
    """The door, as far as these endpoints need it."""

    def address(self, request: Request) -> str:
        """The address that the request counts as coming from."""


def system_of(request: Request) -> System:
    """Return the system behind the door."""
    with door(request).anonymous(request, write=False) as unit:
        return unit.system


def arrival_of(request: Request, system: System) -> Arrival:
    """Return how this request arrived; raises `identity.credential_ambiguous` for a doubled cookie."""
    headers = request.headers.items()
    proofs = request.headers.getlist("dpop")
    return Arrival(
        address=cast(Reception, door(request)).address(request),
        user_agent=request.headers.get("user-agent", "")[:MAX_AGENT],
        proof=proofs[0] if len(proofs) == 1 else "",
        method=request.method,
        url=system.part(Site).origin + request.url.path,
        device_mark=cookie(headers, DEVICE_COOKIE)[:128],
        session_secret=cookie(headers, SESSION_COOKIE)[:128],
    )
