"""One address with many polite connections leaves room for everybody else; a trusted proxy may have them all."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from weighthouse.app import server
from weighthouse.app.places import peer_of, share
from weighthouse.app.server import Served, free_port

PLACES = 16
ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
DRIP = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5000\r\n\r\n{"
THIEF, HONEST = "127.0.0.66", "127.0.0.1"


async def answers(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = bool((await receive()).get("more_body"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Crowd:
    """An address that keeps as many connections as it gets, each polite, and asks for another for each it loses."""

    def __init__(self, port: int, first: bytes, again: bytes, many: int) -> None:
        self._port, self._first, self._again, self._many = port, first, again, many
        self.held: list[socket.socket] = []
        self.lost = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Crowd:
        self._fill()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for one in self.held:
            one.close()

    def _fill(self) -> None:
        while len(self.held) < self._many:
            one = socket.socket()
            one.settimeout(0.5)
            one.bind((THIEF, 0))
            try:
                one.connect(("127.0.0.1", self._port))
                one.sendall(self._first)
            except OSError:
                one.close()
                return
            self.held.append(one)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for one in list(self.held):
                try:
                    one.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        if one.recv(65536) == b"":
                            raise OSError
                    one.sendall(self._again)
                except OSError:
                    self.held.remove(one)
                    one.close()
                    self.lost += 1
            self._fill()


Serve = Callable[..., int]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setattr(server, "CONNECTIONS", PLACES)
    with contextlib.ExitStack() as stack:

        def start(**named: Any) -> int:
            port = free_port("127.0.0.1")
            stack.callback(Served(answers, port=port, **named).start().stop)
            return port

        yield start


def asks(port: int, within_s: float) -> bool:
    """Whether somebody elsewhere is answered."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket() as one:
            one.settimeout(deadline - time.monotonic())
            one.bind((HONEST, 0))
            one.connect(("127.0.0.1", port))
            one.sendall(ASK)
            if b"200" in one.recv(4096):
                return True
    return False


@pytest.mark.parametrize(("first", "again"), [(ASK, ASK), (DRIP, b" ")], ids=["keeps alive", "drips"])
def test_one_address_with_many_connections_keeps_nobody_else_out(serve: Serve, first: bytes, again: bytes) -> None:
    port = serve()
    with Crowd(port, first, again, 2 * PLACES) as crowd:
        assert all(asks(port, 8) for _ in range(4))
    assert crowd.lost > 0


def test_whoever_holds_a_few_loses_none_while_another_is_cut(serve: Serve) -> None:
    port = serve()
    with contextlib.ExitStack() as opened:
        few = [opened.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(3)]
        with Crowd(port, ASK, ASK, 2 * PLACES):
            for _ in range(4):
                assert asks(port, 8)
                for one in few:
                    one.sendall(ASK)
                    assert b"200" in one.recv(4096)


def test_a_trusted_proxy_speaks_for_many_and_is_left_alone(serve: Serve) -> None:
    port = serve(proxies=[ipaddress.ip_network("127.0.0.0/8")])
    with Crowd(port, ASK, ASK, PLACES * 3 // 4) as crowd:
        assert all(asks(port, 8) for _ in range(4))
    assert crowd.lost == 0


def test_a_share_is_a_quarter_and_less_when_the_places_run_out() -> None:
    assert share([800], 800, 700) == 200
    assert share([300, 300, 300, 10], 800, 700) == 200
    assert share([200, 200, 200, 200, 1], 800, 700) == 174
    assert share([1] * 900, 800, 700) == 1


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.9.9.9", "127.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_an_address_counts_as_what_one_holder_has(address: str, peer: str) -> None:
    assert peer_of(address) == peer
