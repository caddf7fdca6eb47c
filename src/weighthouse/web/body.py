"""A limit on every request body, before anything parses it. Guards memory and parsers from oversize input.

A declared length over the limit is refused at once; a body that hides its length (chunked) is refused as soon as it
grows past the limit, one that drips in (slow body attack) when its time is up, and one that ends before its end is
never taken for the whole. One with more names than any request has is refused before a parser makes a value, and a
fault to be told, of each. What passes is read once, kept, and replayed to whoever asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weighthouse.core.errors import Invalid, WeighthouseError
from weighthouse.web.problems import refuse

MOST_QUOTES = 20_000
_FORMS = (
    b"application/x-www-form-urlencoded",
    b"multipart/form-data",
)  # these have parsers, and limits, of their own


class TooLarge(Invalid):
    """The body is over the limit; the status is 413."""

    kind = "too_large"


class TooSlow(WeighthouseError):
    """The body did not arrive in its time; the status is 408."""

    kind = "too_slow"


class BodyLimit:
    """Reads the body of each request up to the limit of its path; `larger` maps path prefixes to their own limit."""

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int], seconds: int) -> None:
        self._app = app
        self._limit = limit
        self._larger = larger
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_for(scope["path"])
        if _declared(scope) > limit:
            await refuse(scope, receive, send, too_large(limit))
            return
        try:
            body = await asyncio.wait_for(_read(receive, limit), self._seconds)
        except TimeoutError:
            await refuse(scope, receive, send, too_slow(self._seconds))
            return
        except Invalid as error:
            await refuse(scope, receive, send, error)
            return
        if body is None:
            await refuse(scope, receive, send, too_large(limit))
            return
        if quotes(body) > MOST_QUOTES and not _named(scope, b"content-type").startswith(_FORMS):
            await refuse(scope, receive, send, too_many_fields())
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


def _named(scope: Scope, header: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == header), b"")


def _declared(scope: Scope) -> int:
    value = _named(scope, b"content-length")
    return int(value[:20]) if value.isdigit() else 0


def quotes(body: bytes) -> int:
    """How many quotes of JSON stand in a body outside of its texts; each name in it has one at least."""
    return body.count(b'"') - body.count(b'\\"')


async def _read(receive: Receive, limit: int) -> bytes | None:
    parts: list[bytes] = []
    total = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the line was cut, or the chunking broke: half an order is none
            raise cut_off()
        total += len(message.get("body", b""))
        if total > limit:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def too_large(limit: int) -> TooLarge:
    """The refusal of a body that is over `limit` bytes."""
    return TooLarge(
        "web.body_too_large",
        f"The request body is larger than {limit} bytes, so it was not read.",
        "Send less; large data goes to object storage, encrypted by the SDK, never through the control plane.",
        limit=limit,
    )


def too_many_fields() -> Invalid:
    """The refusal of a body that has more in it than any request."""
    return Invalid(
        "web.too_many_fields",
        "The request body has more names and texts than any request here, so it was not parsed.",
        "Send what the API reference lists for this address, and nothing else.",
    )


def cut_off() -> Invalid:
    """The refusal of a body that ended before its end."""
    return Invalid(
        "web.body_cut_off",
        "The request body ended before its end, so nothing of it was read.",
        "Send it again, whole; if it repeats, look at the proxy between.",
    )


def too_slow(seconds: int) -> TooSlow:
    """The refusal of a body that did not arrive in its time."""
    return TooSlow(
        "web.body_too_slow",
        f"The request body did not arrive within {seconds} seconds, so the server stopped waiting.",
        "Send it again over a steadier connection; the body of a request is small.",
    )
