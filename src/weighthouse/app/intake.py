"""How much of what runs ask is held at once. Guards the server's memory from bodies that are begun and never ended.

A run opens as many connections as it likes and sends the beginning of a body over each. So a body has a limit by its
path, judged before a byte of it is read; all of its length is first taken from what its run, and what all runs, may
have in flight; and it has to arrive in its time. Who is over any of these is refused, and that counts as a refusal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import h11

from weighthouse.runs.rules.refusals import bodies_full, gates_busy
from weighthouse.web.body import cut_off, quotes, too_large, too_many_fields, too_slow
from weighthouse_sdk import limits

READ_BYTES = 1 << 16
SMALL_BYTES = 64 << 10
COMMIT_BYTES = limits.ENVELOPE.most + SMALL_BYTES
RUN_BYTES = 4 << 20  # three commits at once, and more of everything else than a proxy has connections for
ALL_BYTES = 64 << 20
CONNECTIONS = 32  # of one run; its proxy makes half as many (egress/adapters/envoy_config.py)
BODY_S = 20
MOST_QUOTES = 100  # nothing that a run asks has more than six fields; one thread reads for all runs
_COMMIT = re.compile(rb"/workload/v1/saves/[a-z0-9_]{1,64}/commit")


class Intake:
    """What the bodies of all runs hold. Used by the gates' one thread alone, as its shares are."""

    def __init__(self, most: int = ALL_BYTES) -> None:
        self.most = most
        self.held = 0


class Share:
    """What one run holds: bytes in flight, and connections."""

    def __init__(self, intake: Intake, most: int = RUN_BYTES, body_s: float = BODY_S) -> None:
        self._intake = intake
        self._most = most
        self.body_s = body_s
        self.held = 0
        self.connections = 0

    @contextmanager
    def connected(self) -> Iterator[bool]:
        """Count a connection; yields whether it may be served."""
        self.connections += 1
        try:
            yield self.connections <= CONNECTIONS
        finally:
            self.connections -= 1

    @contextmanager
    def holding(self, head: h11.Request) -> Iterator[int]:
        """Take the bytes of a request's body from the run's and from everybody's; yields the limit of that body.

        Raises TooLarge `web.body_too_large`, TooMany `runs.bodies_full`, Unavailable `runs.gates_busy`.
        """
        limit = limit_of(bytes(head.target))
        wanted = _declared(head, limit)
        if wanted > limit:
            raise too_large(limit)
        if self.held + wanted > self._most:
            raise bodies_full(self.held, self._most)
        if self._intake.held + wanted > self._intake.most:
            raise gates_busy()
        self.held += wanted
        self._intake.held += wanted
        try:
            yield limit
        finally:
            self.held -= wanted
            self._intake.held -= wanted

    async def body(self, connection: h11.Connection, reader: asyncio.StreamReader, limit: int) -> bytes:
        """Return the whole body of the request whose head was read; raises what is wrong with it."""
        try:
            async with asyncio.timeout(self.body_s):
                body = await _whole(connection, reader, limit)
        except TimeoutError:
            raise too_slow(int(self.body_s)) from None
        except h11.RemoteProtocolError:
            raise cut_off() from None
        if quotes(body) > MOST_QUOTES:
            raise too_many_fields()
        return body


def limit_of(target: bytes) -> int:
    """How large the body of a request to this place may be. A signed manifest is the largest thing a run says."""
    return COMMIT_BYTES if _COMMIT.fullmatch(target) else SMALL_BYTES


def _declared(head: h11.Request, limit: int) -> int:
    """How long a body will be; one that does not say it may become as long as its limit."""
    named = dict(head.headers)
    if b"transfer-encoding" in named:
        return limit
    return int(named.get(b"content-length", b"0"))


async def next_head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """Return the head of the next request, None when the proxy has hung up."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        data = await reader.read(READ_BYTES)
        if not data:
            return None
        connection.receive_data(data)


async def _whole(connection: h11.Connection, reader: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()  # never a list: a million chunks of one byte would weigh fifty times what they hold
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                raise too_large(limit)
        else:
            raise cut_off()
    return bytes(body)
