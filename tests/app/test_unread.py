"""Those who ask and never read hold no place: their connections are ended, and everybody else is served on."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from weighthouse.app import server
from weighthouse.app.server import Served, free_port

BODY = b"x" * 100_000
ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
Connect = Callable[[], socket.socket]


async def large(scope: Any, _receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        head = [(b"content-length", str(len(BODY)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": BODY})


@pytest.fixture(params=["port", "unix"])
def connect(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """A server with eight places on a port or a Unix socket, and a way to it; what is opened is closed."""
    monkeypatch.setattr(server, "CONNECTIONS", 8)
    unix = tmp_path / "s" / "x.sock" if request.param == "unix" else None
    port = 0 if unix else free_port("127.0.0.1")
    served = Served(large, port=port, unix=unix).start()
    with contextlib.ExitStack() as opened:

        def made() -> socket.socket:
            one = opened.enter_context(socket.socket(socket.AF_UNIX if unix else socket.AF_INET))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(60)
            one.connect(str(unix) if unix else ("127.0.0.1", port))
            return one

        yield made
    served.stop()


def read(one: socket.socket) -> int:
    """Read one answer to its end; return how much came."""
    one.sendall(ASK)
    got = b""
    while len(got) < len(BODY):
        got += one.recv(65536) or pytest.fail("closed before the answer was whole")
    return len(got)


def ended(one: socket.socket, within_s: float) -> bool:
    look = select.poll()
    look.register(one, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
    return bool(look.poll(within_s * 1000))


def test_those_who_never_read_lose_their_places_to_those_who_do(connect: Connect) -> None:
    greedy = [connect() for _ in range(8)]
    for one in greedy:
        one.sendall(ASK * 50)
    assert read(connect()) >= len(BODY), "nobody else was served"
    assert all(ended(one, 60) for one in greedy)


def test_one_who_never_reads_is_ended_after_a_while_and_one_who_reads_on_is_not(connect: Connect) -> None:
    greedy, honest = connect(), connect()
    greedy.sendall(ASK * 50)
    stop = threading.Event()
    answers: list[int] = []

    def go_on() -> None:
        while not stop.is_set():
            answers.append(read(honest))
            time.sleep(0.1)

    reader = threading.Thread(target=go_on)
    reader.start()
    assert ended(greedy, 60)
    stop.set()
    reader.join()
    assert read(honest) >= len(BODY) and len(answers) > 1
