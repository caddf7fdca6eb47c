"""One process that serves: the console and API on TCP, and the broker for workloads on a Unix socket.

Guards the broker from everything but the proxies of running workloads: its socket lies in a folder of mode 0700 and
is never bound to an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server as Granian

from weighthouse.app.places import Network, Places
from weighthouse.app.unread import Unread
from weighthouse.core.errors import Unavailable

START_DEADLINE_S = 20
# Against senders that drip their headers or open connections and wait (slow header attacks): each has its time, its
# room, and there is a place for many at once. Those who never read their answer are ended by `unread`, and no address
# holds more than its share (`places`).
HEADER_DEADLINE_MS = 10_000
HEADER_BYTES = 64 * 1024
CONNECTIONS = 800


def refuse_taken(address: str, port: int) -> None:
    """Raise `app.cannot_listen` if nothing can be bound there: asked before anything of the system is opened."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections of a server that has ended
        try:
            probe.bind((address, port))
        except OSError as error:
            raise cannot_listen(f"{address}:{port}", error.strerror or str(error)) from None


def cannot_listen(where: str, why: str) -> Unavailable:
    """The refusal that says why nobody can be reached there."""
    return Unavailable(
        "app.cannot_listen",
        f"The server could not listen on {where}: {why}.",
        "Choose another port with --port, or end the process that holds it.",
    )


class Served:
    """An ASGI application served by granian in a thread of its own, until `stop`."""

    def __init__(
        self,
        application: Any,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        unix: Path | None = None,
        proxies: Collection[Network] = (),
    ) -> None:
        self._where = unix
        self._address, self._port = address, port
        self._loop: asyncio.AbstractEventLoop | None = None  # made by `start`: what never ran needs no closing
        self._bound: tuple[int, int] | None = (
            None  # our own socket file: another one at its path is not ours to remove
        )
        self._granian = Granian(
            application,
            address=address,
            port=port,
            uds=unix,
            interface=Interfaces.ASGI,
            log_enabled=False,
            websockets=False,
            http=HTTPModes.http1,  # nothing here speaks HTTP/2 in the clear, whose limits would be others
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_DEADLINE_MS, max_buffer_size=HEADER_BYTES),
            backlog=CONNECTIONS,
            backpressure=CONNECTIONS,
        )
        self._unread = Unread(port, unix, CONNECTIONS)
        self._places = None if unix else Places(port, CONNECTIONS, proxies=proxies)
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._granian.serve())
        except BaseException as error:
            self._failure = error

    def start(self) -> Served:
        """Start serving; return once a connection is accepted, or raise `app.cannot_listen`."""
        if (self._where or self._port) and self._answers():
            raise self._refusal("something else listens there")  # its answers must never be taken for our own
        if self._where is not None:
            _private(self._where)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="serve", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline and self._failure is None and self._thread.is_alive():
            if self._answers():
                if self._where is not None:
                    self._where.chmod(0o600)
                    self._bound = _identity(self._where)
                self._unread.start()
                if self._places is not None:
                    self._places.start()
                return self
            time.sleep(0.02)
        raise self._refusal(str(self._failure or "no answer in time"))

    def _refusal(self, why: str) -> Unavailable:
        return cannot_listen(str(self._where) if self._where else f"{self._address}:{self._port}", why)

    def _answers(self) -> bool:
        inet = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        family, target = (socket.AF_UNIX, str(self._where)) if self._where else (inet, (self._address, self._port))
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(target) == 0

    def stop(self) -> None:
        """Stop accepting, end the thread, and remove the socket file."""
        self._unread.stop()
        if self._places is not None:
            self._places.stop()
        if self._loop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._granian.stop)
            self._thread.join(timeout=10)
            if not self._thread.is_alive():
                self._loop.close()
        if self._where is not None and self._bound is not None and _identity(self._where) == self._bound:
            self._where.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _private(unix: Path) -> None:
    unix.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unix.parent.chmod(0o700)
    if unix.exists() and stat.S_ISSOCK(unix.stat().st_mode):
        unix.unlink()  # left by a server that was killed: nobody answers on it


def free_port(address: str) -> int:
    """Return a port that is free on `address` now."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
