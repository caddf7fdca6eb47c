"""A run that makes the server hold what it never finishes: bodies without an end, too long, too many, over all runs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weighthouse.app.gates import Gate, Gates
from weighthouse.app.intake import COMMIT_BYTES, CONNECTIONS, RUN_BYTES, SMALL_BYTES
from weighthouse.runs.routes.broker import Broker

TOKEN, COMMIT = b"/workload/v1/token", b"/workload/v1/saves/sav_1/commit"
MIB = 1 << 20
Answered = tuple[int, str]


@pytest.fixture
def gates() -> Iterator[Gates]:
    async def count(_scope: object, receive: object, send: object) -> None:
        assert callable(receive) and callable(send)
        body = json.dumps({"code": str(len((await receive())["body"]))}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    made = Gates(Broker(count), lambda *_: None).start()
    yield made
    made.stop()


@pytest.fixture
def gate(gates: Gates, short: Path) -> Gate:
    made = gates.open("run_one", short / "one")
    made.expect([os.getpid()])
    return made


def begin(gate: Gate, path: bytes, length: int | str, body: bytes = b"") -> socket.socket:
    """Send the head of a request, and what of its body is given."""
    way = socket.socket(socket.AF_UNIX)
    way.settimeout(20)
    way.connect(str(gate.path))
    named = f"Transfer-Encoding: {length}" if isinstance(length, str) else f"Content-Length: {length}"
    with contextlib.suppress(OSError):  # it may be refused while it still speaks
        way.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: c\r\n" + named.encode() + b"\r\n\r\n" + body)
    return way


def answer(way: socket.socket) -> Answered:
    """What a request was answered, and the connection closed."""
    with way:
        head, _, body = way.recv(65536).partition(b"\r\n\r\n")
        return int(head.split()[1]), str(json.loads(body or way.recv(65536))["code"])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()


def test_bodies_that_are_begun_and_never_ended_hold_no_more_than_one_run_may(gate: Gate) -> None:
    ways = [begin(gate, COMMIT, MIB, bytes(MIB - 1)) for _ in range(12)]
    fitting = RUN_BYTES // MIB
    until(lambda: gate.refusals.count == len(ways) - fitting)
    assert gate.share.held == RUN_BYTES
    refused = [way for way in ways if not _silent(way)]
    assert {answer(way) for way in refused} == {(429, "runs.bodies_full")} and len(refused) == len(ways) - fitting
    held = [way for way in ways if way.fileno() >= 0]
    assert answer(begin(gate, TOKEN, 0)) == (200, "0"), "a run may ask what holds nothing meanwhile"
    held[0].sendall(b"}")
    assert answer(held[0]) == (200, str(MIB))
    for way in held[1:]:
        way.close()
    until(lambda: gate.share.held == 0)


def _silent(way: socket.socket) -> bool:
    way.setblocking(False)
    try:
        return way.recv(1, socket.MSG_PEEK) == b"?"
    except BlockingIOError:
        return True
    finally:
        way.settimeout(20)


@pytest.mark.parametrize(
    ("path", "limit"), [(TOKEN, SMALL_BYTES), (COMMIT, COMMIT_BYTES), (b"/workload/v1/saves/../commit", SMALL_BYTES)]
)
def test_a_body_longer_than_its_path_takes_is_refused_before_a_byte_of_it_is_sent(
    gate: Gate, path: bytes, limit: int
) -> None:
    assert answer(begin(gate, path, limit + 1)) == (413, "web.body_too_large")
    assert gate.refusals.count == 1
    assert answer(begin(gate, path, limit, bytes(limit))) == (200, str(limit))


def test_a_body_that_hides_its_length_is_cut_where_it_passes_its_limit(gate: Gate) -> None:
    chunks = (b"8000\r\n" + bytes(0x8000) + b"\r\n") * 3
    assert answer(begin(gate, TOKEN, "chunked", chunks)) == (413, "web.body_too_large")
    tiny = b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"
    assert answer(begin(gate, TOKEN, "chunked", tiny)) == (200, "1000")
    assert (gate.refusals.count, gate.share.held) == (1, 0)


def test_a_body_that_does_not_come_in_time_is_ended_and_counts(gate: Gate) -> None:
    gate.share.body_s = 0.2
    assert answer(begin(gate, COMMIT, MIB, b"{")) == (408, "web.body_too_slow")
    assert (gate.refusals.count, gate.share.held) == (1, 0)


@pytest.mark.parametrize("length", [MIB, "chunked"])
def test_a_body_that_is_cut_off_counts(gate: Gate, length: int | str) -> None:
    begin(gate, COMMIT, length, b"5\r\nhello").close()
    until(lambda: gate.refusals.count == 1)
    assert gate.share.held == 0


def test_what_all_runs_hold_is_bounded_and_another_runs_fill_counts_against_nobody(
    gate: Gate, gates: Gates, short: Path
) -> None:
    other = gates.open("run_two", short / "two")
    other.expect([os.getpid()])
    gates.intake.most = 2 * MIB
    with begin(gate, COMMIT, MIB, b"{"), begin(gate, COMMIT, MIB, b"{"):
        until(lambda: gates.intake.held == 2 * MIB)
        assert answer(begin(other, TOKEN, 2, b"{}")) == (503, "runs.gates_busy")
        assert other.refusals.count == 0
    until(lambda: gates.intake.held == 0)
    assert answer(begin(other, TOKEN, 2, b"{}")) == (200, "2")


def test_a_run_has_so_many_connections_and_those_beyond_are_closed_unread(gate: Gate) -> None:
    with contextlib.ExitStack() as ways:
        for _ in range(CONNECTIONS):
            ways.enter_context(begin(gate, TOKEN, 1))
        until(lambda: gate.share.connections == CONNECTIONS)
        with begin(gate, TOKEN, 0) as more, contextlib.suppress(ConnectionResetError):
            assert more.recv(99) == b""
    until(lambda: gate.share.connections == 0)
    assert answer(begin(gate, TOKEN, 0)) == (200, "0")


def test_who_was_refused_too_often_has_no_body_read(gates: Gates, short: Path) -> None:
    gate = gates.open("run_one", short / "one", 1)
    gate.expect([os.getpid()])
    assert answer(begin(gate, TOKEN, 10**9))[0] == 413
    assert answer(begin(gate, COMMIT, MIB)) == (429, "runs.too_many_refusals")
    assert gate.refused == 2


def test_a_body_of_many_names_is_refused_before_anything_parses_it(gate: Gate) -> None:
    """170,000 unknown names cost the one thread that reads for all runs three seconds, each with a fault of its own."""
    body = json.dumps({f"{number:x}": 0 for number in range(5_000)}).encode()
    assert answer(begin(gate, TOKEN, len(body), body)) == (400, "web.too_many_fields")
    text = json.dumps({"manifest": 'a "quoted" \\ text ' * 20_000}).encode()
    assert answer(begin(gate, COMMIT, len(text), text)) == (200, str(len(text)))
    assert gate.refusals.count == 1
