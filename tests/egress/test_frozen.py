"""The guard is stopped, or killed, while a run sends: not one byte leaves beyond what the ledger had lent.

A real server in a process of its own, with and without capabilities; real Envoy and forwarder; the receiver
counts what arrives on the wire. `make soak` waits a minute where `make test` waits four seconds.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.egress.outside import Sink, ask

FROZEN_S = int(os.environ.get("WEIGHTHOUSE_FROZEN_S", "4"))
SOAK = [pytest.mark.soak] if FROZEN_S > 4 else []
pytestmark = [pytest.mark.ordinary, pytest.mark.timeout(300 + FROZEN_S), *SOAK]
# Run as root, each test is tried a second time without any capability, as an ordinary user's server has none.
PLAIN = ("unshare", "--user")
USERS = [(), PLAIN] if os.geteuid() == 0 else [()]
STARTED = 64 * 1024


class Guard:
    """A server with one open way."""

    def __init__(self, folder: Path, port: int, prefix: tuple[str, ...]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.egress.served", str(folder), str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        way, *pids = self.process.stdout.readline().split()
        self.way, self.pids = Path(way), [int(pid) for pid in pids]

    def lent(self) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db")) as database:
            return int(database.execute("SELECT coalesce(sum(granted), 0) FROM egress_credit").fetchone()[0])

    def told(self, kind: str) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db")) as database:
            return int(database.execute("SELECT count(*) FROM log_entry WHERE kind = ?", (kind,)).fetchone()[0])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Flood:
    """Connections of a run that send as fast as they are let, until every one of them was closed."""

    def __init__(self, way: Path, authority: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.open = 0
        self._ended = threading.Event()
        for _ in range(count):
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.settimeout(60)
            one.connect(str(way))
            assert ask(one, authority) == 200
            one.sendall(greeting("hub.test"))
            one.setblocking(False)
            self._selector.register(one, selectors.EVENT_READ | selectors.EVENT_WRITE)
            self.open += 1
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        piece = os.urandom(16 * 1024)
        while self.open and not self._ended.wait(0.002):
            for key, mask in self._selector.select(0.1):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                try:
                    closed = bool(mask & selectors.EVENT_READ) and one.recv(4096) == b""
                    if not closed and mask & selectors.EVENT_WRITE:
                        one.send(piece)
                except BlockingIOError:
                    continue
                except OSError:
                    closed = True
                if closed:
                    self._selector.unregister(one)
                    one.close()
                    self.open -= 1

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()


def greeting(name: str) -> bytes:
    """The first flight of a TLS client, which is all that the way reads of what a tunnel carries."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody reaps any more has ended too."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def await_(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def wire() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture(params=USERS, ids=lambda prefix: "no capabilities" if prefix else "own user")
def guard(request: pytest.FixtureRequest, short: Path, wire: Sink) -> Iterator[Guard]:
    made = Guard(short, wire.port, request.param)
    yield made
    made.end()


@pytest.mark.parametrize("count", [1, 256])
def test_a_stopped_server_lets_nothing_pass_but_what_was_lent_and_then_everything_is_closed(
    guard: Guard, wire: Sink, count: int
) -> None:
    flood = Flood(guard.way, f"hub.test:{wire.port}", count)
    try:
        assert wire.wait_for(STARTED)
        os.kill(guard.process.pid, signal.SIGSTOP)
        time.sleep(FROZEN_S)
        assert flood.open == 0, "unfed for two seconds, the forwarder closes every connection"
        arrived = wire.received
        assert STARTED <= arrived <= guard.lent()
        os.kill(guard.process.pid, signal.SIGCONT)
        again = Flood(guard.way, f"hub.test:{wire.port}", 1)
        assert wire.wait_for(arrived + 1), "a server that judges again lends again"
        assert guard.told("egress.Unfed") == 1, "and tells what it slept through"
        guard.process.kill()
        await_(lambda: all(gone(pid) for pid in guard.pids) and again.open == 0)
        assert wire.received <= guard.lent()
        again.stop()
    finally:
        flood.stop()


@pytest.mark.parametrize("count", [1, 256])
def test_a_killed_server_takes_its_way_along(guard: Guard, wire: Sink, count: int) -> None:
    flood = Flood(guard.way, f"hub.test:{wire.port}", count)
    try:
        assert wire.wait_for(STARTED)
        guard.process.kill()
        await_(lambda: all(gone(pid) for pid in guard.pids) and flood.open == 0)
        assert STARTED <= wire.received <= guard.lent()
    finally:
        flood.stop()


def test_a_stopped_forwarder_or_envoy_is_a_closed_way(guard: Guard, wire: Sink) -> None:
    envoy, forwarder = guard.pids
    for stopped in (forwarder, envoy):
        before = wire.received
        flood = Flood(guard.way, f"hub.test:{wire.port}", 2) if stopped == forwarder else None
        if flood is None:
            assert gone(forwarder), "a forwarder that does not answer costs the way"
            await_(lambda: gone(envoy))
            continue
        assert wire.wait_for(before + STARTED)
        os.kill(stopped, signal.SIGSTOP)
        await_(lambda: gone(forwarder))
        flood.stop()
        assert wire.received <= guard.lent()


def test_an_order_that_lay_in_the_pipe_feeds_nothing_once_its_giver_is_gone(guard: Guard, wire: Sink) -> None:
    forwarder = guard.pids[-1]
    flood = Flood(guard.way, f"hub.test:{wire.port}", 1)
    try:
        assert wire.wait_for(STARTED)
        os.kill(forwarder, signal.SIGSTOP)
        os.kill(guard.process.pid, signal.SIGSTOP)
        time.sleep(2.5)
        arrived = wire.received
        os.kill(forwarder, signal.SIGCONT)
        await_(lambda: flood.open == 0)
        assert wire.received <= guard.lent() and wire.received - arrived <= 2 * 256 * 1024
    finally:
        flood.stop()
        os.kill(guard.process.pid, signal.SIGCONT)
