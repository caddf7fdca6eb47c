"""How a room's endpoint or page enters the system. The web room provides the one real door.

Guards rooms from HTTP: an endpoint gets an open unit and an authenticated caller, or an error, and never reads a
cookie, a header or a peer address by itself.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Protocol, cast

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from weighthouse.core.caller import Caller
from weighthouse.core.paging import LONGEST_CURSOR, MOST
from weighthouse.core.work import Unit

# What every list route takes: how many items at most, and where to go on.
Limit = Annotated[int, Query(ge=1, le=MOST)]
Cursor = Annotated[str | None, Query(max_length=LONGEST_CURSOR)]


class Door(Protocol):
    """Opens units for requests and renders pages."""

    def enter(
        self, request: Request, *, write: bool = True, use: bool = True
    ) -> AbstractContextManager[tuple[Unit, Caller]]:
        """Authenticate the request and open a unit; raises Unauthenticated. What a page asks for by itself, with
        nobody there, is no `use` of a session."""

    def anonymous(self, request: Request, *, write: bool = True) -> AbstractContextManager[Unit]:
        """Open a unit for an endpoint on the golden list of those that need no sign-in."""

    def render(self, request: Request, template: str, status: int = 200, **context: object) -> Response:
        """Render a page inside the console's shell."""


def door(request: Request) -> Door:
    """Return the door of the application that serves `request`."""
    return cast(Door, request.app.state.door)
