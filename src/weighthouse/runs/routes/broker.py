"""The listener through which workloads reach the control plane. Guards against one run speaking as another.

It is served on a Unix socket (0600 in a folder of 0700) that only the control plane's own proxies open. Each proxy
overwrites the header `x-weighthouse-run` with the run it was started for; the listener turns that into the scope key
that the door trusts and removes every trace of the header, so that nothing behind it could read a claim.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

RUN_HEADER = b"x-weighthouse-run"
SCOPE_KEY = "weighthouse.run"
PREFIX = "/workload/v1/"
_RUN = re.compile(rb"run_[0-9a-z]{26}")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Broker:
    """Wraps the application that holds the workload routes."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        named = [value for key, value in scope.get("headers", []) if key.lower() == RUN_HEADER]
        ours = scope["type"] == "http" and str(scope["path"]).startswith(PREFIX)
        if not ours or len(named) != 1 or _RUN.fullmatch(named[0]) is None:
            await _refuse(send)
            return
        headers = [(key, value) for key, value in scope["headers"] if key.lower() != RUN_HEADER]
        await self._application({**scope, "headers": headers, SCOPE_KEY: named[0].decode()}, receive, send)


async def _refuse(send: Send) -> None:
    body = b'{"code":"runs.not_here","title":"Not here","status":404}'
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})
