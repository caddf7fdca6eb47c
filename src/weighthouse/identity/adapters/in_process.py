"""HTTP to an application in this very process, without a socket: for the embedded identity provider and for tests.

The request runs in an event loop of its own on the calling thread, so a blocking caller cannot starve the server.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx


class InProcess(httpx.BaseTransport):
    """A transport for `httpx.Client` that calls an ASGI application directly."""

    def __init__(self, application: Any, *, peer: str = "127.0.0.1") -> None:
        self._transport = httpx.ASGITransport(application, client=(peer, 0), raise_app_exceptions=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        outgoing = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        answer = await self._transport.handle_async_request(outgoing)
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)
