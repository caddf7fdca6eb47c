"""What a workload may reach of the control plane. Guards against one run speaking as another.

Which run speaks is fixed by the listening socket that it came through (app/gates.py), before a byte of it is read.
Whatever a request says of a run in a header is removed, so that nothing behind could believe it. A run that was
refused too often is asked about nowhere any more (rules/refusals.py).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from weighthouse.runs.rules.refusals import Refusals

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

    def of(self, run: str, refusals: Refusals) -> Application:
        """Return the application as `run` alone sees it: serve it on that run's own socket."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not str(scope["path"]).startswith(PREFIX):
                await _refuse(send, 404, "runs.not_here", "Not here")
                return
            if refusals.spent:
                refusals.answered(429)
                await _refuse(send, 429, "runs.too_many_refusals", "Refused too often")
                return
            headers = [(key, value) for key, value in scope["headers"] if key.lower() != RUN_HEADER]
            status, waits = 500, False

            async def seen(message: MutableMapping[str, Any]) -> None:
                nonlocal status, waits
                if message["type"] == "http.response.start":
                    status = int(message["status"])
                    waits = any(bytes(name).lower() == b"retry-after" for name, _ in message.get("headers", ()))
                await send(message)

            try:
                await self._application({**scope, "headers": headers, SCOPE_KEY: run}, receive, seen)
            finally:
                refusals.answered(status, told_to_wait=waits)

        return serve


async def _refuse(send: Send, status: int, code: str, title: str) -> None:
    body = json.dumps({"code": code, "title": title, "status": status}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
