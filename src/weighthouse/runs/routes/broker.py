"""What a workload may reach of the control plane. Guards against one run speaking as another.

Which run speaks is fixed by the listening socket that it came through (app/gates.py), before a byte of it is read.
Whatever a request says of a run in a header is removed, so that nothing behind could believe it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

RUN_HEADER = b"x-weighthouse-run"
SCOPE_KEY = "weighthouse.run"
PREFIX = "/workload/v1/"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Broker:
    """Wraps the application that holds the workload routes."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def of(self, run: str) -> Application:
        """Return the application as `run` alone sees it: serve it on that run's own socket."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not str(scope["path"]).startswith(PREFIX):
                await _refuse(send)
                return
            headers = [(key, value) for key, value in scope["headers"] if key.lower() != RUN_HEADER]
            await self._application({**scope, "headers": headers, SCOPE_KEY: run}, receive, send)

        return serve


async def _refuse(send: Send) -> None:
    body = b'{"code":"runs.not_here","title":"Not here","status":404}'
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})
