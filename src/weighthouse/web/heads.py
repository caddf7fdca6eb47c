"""HEAD on pages (RFC 9110, 9.3.2): the answer of GET without its body. Guards link checkers from a wrong 405.

A page that uses something up when it is looked at (an attempt to sign in) is not looked at by HEAD.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

USED_UP = frozenset({"/callback", "/confirm", "/login", "/step-up"})
_NO_PAGES = ("/api/", "/workload/")


class Heads:
    """Has HEAD answered as GET is, and drops the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope.get("method") != "HEAD" or path in USED_UP or path.startswith(_NO_PAGES):
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, bodiless)
