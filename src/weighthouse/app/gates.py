"""Where workloads reach the control plane: one listening socket a run, for that run's own proxy alone.

Guards against one run speaking as another. Which run speaks is which socket it came through, never a header or a
name; and whoever reaches that socket is asked for by the kernel: only the very process that was started as the run's
proxy is answered (SO_PEERCRED, which no process can choose). An ordinary user's server has the user id of its runs,
so the user id alone would say nothing. Source: Linux man-pages, unix(7). How much is held of it: `intake`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h11

from weighthouse.app.intake import READ_BYTES, Intake, Share, next_head
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.runs.routes.broker import Application, Broker
from weighthouse.runs.rules.refusals import Refusals, too_often
from weighthouse.web.problems import status_of, to_problem

log = logging.getLogger("weighthouse.runs")

START_DEADLINE_S = 20
MOST_REFUSALS = 200
ANSWER_S = 60  # a run that does not read what it is answered is not waited for any longer
LINGER_S = 1
FOREIGN = b'{"code":"runs.foreign_peer","title":"This way belongs to another run","status":403}'
MALFORMED = 400
JSON = ("content-type", "application/problem+json")
Told = Callable[[str, int, int], None]


class Gate:
    """The socket of one run. Until `expect` has named the proxy's processes, nobody is answered."""

    def __init__(
        self, gates: Gates, run: str, path: Path, application: Application, refusals: Refusals, share: Share
    ) -> None:
        self.path = path
        self.refusals = refusals
        self.share = share
        self._gates = gates
        self._run = run
        self._application = application
        self._expected: frozenset[int] = frozenset()
        self._told = False
        self._server: asyncio.Server | None = None

    @property
    def refused(self) -> int:
        """How often the run was refused, where that was too often; 0 before."""
        return self.refusals.count if self.refusals.spent else 0

    def expect(self, pids: Sequence[int]) -> None:
        """Answer these processes: children of this server, not collected yet, so that nobody else has their ids."""
        self._expected = frozenset(pids)

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._talk, path=str(self.path), limit=READ_BYTES)
        self.path.chmod(0o600)

    def close(self) -> None:
        self._expected = frozenset()
        self._gates.closed(self._run)
        self._gates.run(self._shut())

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            pid, uid, _ = struct.unpack("3i", writer.get_extra_info("socket").getsockopt(*_PEER))
            if pid in self._expected:
                with self.share.connected() as welcome:
                    if welcome:
                        await self._serve(reader, writer)
            else:
                await self._refuse(writer, pid, uid)
                await _linger(reader, writer)
        except h11.RemoteProtocolError as error:
            self.refusals.answered(MALFORMED)
            log.debug("a connection of %s was ended: %s", self._run, error)
        except (OSError, h11.ProtocolError, asyncio.IncompleteReadError, TimeoutError) as error:
            log.debug("a connection of %s ended: %s", self._run, error)
        except Exception:
            log.exception("a connection of %s failed", self._run)
        finally:
            writer.close()

    async def _refuse(self, writer: asyncio.StreamWriter, pid: int, uid: int) -> None:
        """Speak to nobody else, and say so once: who knocks again is refused again, without a line a knock."""
        log.warning("process %d (user %d) is not the proxy of %s, whose socket it reached", pid, uid, self._run)
        if not self._told:
            self._told = True
            await asyncio.to_thread(self._gates.told, self._run, pid, uid)
        await _say(writer, h11.Connection(h11.SERVER), 403, FOREIGN)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=READ_BYTES)
        while (head := await next_head(connection, reader)) is not None:
            try:
                answer = await self._answer(head, connection, reader)
            except WeighthouseError as refusal:
                status = status_of(refusal)
                self.refusals.answered(status)
                await _say(writer, connection, status, bytes(to_problem({}, refusal).body))
                return await _linger(reader, writer)
            writer.write(b"".join(connection.send(event) or b"" for event in answer.events()))
            await _sent(writer)
            if h11.MUST_CLOSE in (connection.our_state, connection.their_state):
                return None
            connection.start_next_cycle()
        return None

    async def _answer(self, head: h11.Request, connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
        """Read one request whole and have it answered; raises what it is refused with before anybody is asked."""
        if self.refusals.spent:
            raise too_often()
        with self.share.holding(head) as limit:
            body = await self.share.body(connection, reader, limit)
            answer = Answer()
            await self._application(_scope(head), Body(body).receive, answer.send)
            return answer


async def _say(writer: asyncio.StreamWriter, connection: h11.Connection, status: int, body: bytes) -> None:
    """Answer a request that was not read to its end; nothing more is said over this connection."""
    headers = [JSON, ("content-length", str(len(body))), ("connection", "close")]
    writer.write((connection.send(h11.Response(status_code=status, headers=headers)) or b"") + body)
    await _sent(writer)


async def _sent(writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(ANSWER_S):
        await writer.drain()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What is closed with words unread is reset, and the answer lost with it."""
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(READ_BYTES), LINGER_S)


async def _end_all() -> None:
    """End every conversation, so that nothing is left open when the loop stops."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # closed transports are let go of in the next turn


_PEER = (socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))


def _scope(head: h11.Request) -> MutableMapping[str, Any]:
    target, _, query = bytes(head.target).partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": bytes(head.http_version).decode("ascii"),
        "method": bytes(head.method).decode("ascii"),
        "scheme": "http",
        "path": unquote(target.decode("ascii")),
        "raw_path": target,
        "query_string": query,
        "root_path": "",
        "headers": [(bytes(name), bytes(value)) for name, value in head.headers],
        "client": None,
        "server": None,
        "state": {},
    }


class Body:
    """A request's body, given once."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def receive(self) -> MutableMapping[str, Any]:
        if self._body is None:
            await asyncio.sleep(3600)  # who waits for the client to go waits; the task ends with the answer
        body, self._body = self._body or b"", None
        return {"type": "http.request", "body": body, "more_body": False}


class Answer:
    """What the application sends, kept until it is whole."""

    def __init__(self) -> None:
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = int(message["status"])
            self._headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", [])]
        elif message["type"] == "http.response.body":
            self._body.append(bytes(message.get("body", b"")))

    def events(self) -> list[h11.Response | h11.Data | h11.EndOfMessage]:
        body = b"".join(self._body)
        kept = [(name, value) for name, value in self._headers if name.lower() not in _FRAMING]
        headers = [*kept, (b"content-length", str(len(body)).encode())]
        return [h11.Response(status_code=self._status, headers=headers), h11.Data(data=body), h11.EndOfMessage()]


_FRAMING = (b"content-length", b"transfer-encoding", b"connection")


class Gates:
    """Opens gates, all served by one thread. `told` writes the line about who was turned away."""

    def __init__(self, broker: Broker, told: Told) -> None:
        self._broker = broker
        self.told = told
        self._open: dict[str, Path] = {}
        self.intake = Intake()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Gates:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gates", daemon=True)
        self._thread.start()
        return self

    def open(self, run: str, path: Path, most_refusals: int = MOST_REFUSALS) -> Gate:
        """Listen for the proxy of `run` on `path`, which lies in a folder that this server made for it (0700)."""
        refusals = Refusals(most_refusals)
        gate = Gate(self, run, path, self._broker.of(run, refusals), refusals, Share(self.intake))
        self.run(gate.listen())
        self._open[run] = path
        return gate

    def path(self, run: str) -> Path | None:
        """Where the gate of a run is, None when it has none."""
        return self._open.get(run)

    def closed(self, run: str) -> None:
        """Forget a gate that was closed."""
        self._open.pop(run, None)

    def run(self, work: Any) -> None:
        """Do something in the gates' own thread, and wait for it."""
        if self._loop is None or not self._loop.is_running():
            work.close()
            raise Unavailable("app.cannot_listen", "The gates of the runs are not open.", "Start the server again.")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_DEADLINE_S)

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self.run(_end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            self._loop.close()
        self._loop = None
