"""A limit on every request body, before anything parses it. Guards memory and parsers from oversize input.

A declared length over the limit is refused at once; a body that hides its length (chunked) is refused as soon as it
grows past the limit. What passes is read once, kept, and replayed to whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weighthouse.core.errors import Invalid
from weighthouse.web.problems import refuse


class TooLarge(Invalid):
    """The body is over the limit; the status is 413."""

    kind = "too_large"


class BodyLimit:
    """Reads the body of each request up to the limit of its path; `larger` maps path prefixes to their own limit."""

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_for(scope["path"])
        if _declared(scope) > limit:
            await refuse(scope, receive, send, _too_large(limit))
            return
        body = await _read(receive, limit)
        if body is None:
            await refuse(scope, receive, send, _too_large(limit))
            return
        scope.setdefault("state", {})["body"] = body
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    def _limit_for(self, path: str) -> int:
        limits = [limit for prefix, limit in self._larger.items() if path.startswith(prefix)]
        return max(limits, default=self._limit)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


async def _read(receive: Receive, limit: int) -> bytes | None:
    parts: list[bytes] = []
    total = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        total += len(message.get("body", b""))
        if total > limit:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        "web.body_too_large",
        f"The request body is larger than {limit} bytes, so it was not read.",
        "Send less; large data goes to object storage, encrypted by the SDK, never through the control plane.",
        limit=limit,
    )
