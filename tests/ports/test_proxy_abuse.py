"""What a hostile client sends to the one socket it has, against the real Envoy: smuggled, odd, endless, too much."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest
from tests.egress.outside import Sink, ask, connect, dial, head
from tests.ports.benches import Answers

from weighthouse.egress.adapters import envoy_config
from weighthouse.egress.adapters.envoy import EnvoyHandle


def exchange(way: Path, request: bytes) -> bytes:
    """Send bytes as they are and return everything that comes back until the proxy closes or falls silent."""
    answer = b""
    with dial(way) as connection:
        connection.settimeout(1)
        with contextlib.suppress(OSError):
            connection.sendall(request)
            while more := connection.recv(65536):
                answer += more
    return answer


def heard(answer: bytes) -> dict[str, str]:
    """Return the headers that the broker saw, from the echo in its answer."""
    body = answer.partition(b"\r\n\r\n")[2].decode()
    return dict(line.split("=", 1) for line in body.splitlines() if "=" in line)


CONTROL = b"Host: control.weighthouse\r\nConnection: close\r\n"
SMUGGLED = b"GET /workload/v1/second HTTP/1.1\r\nHost: control.weighthouse\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /workload/v1/a HTTP/1.1\r\n" + CONTROL + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /workload/v1/a HTTP/1.1\r\n" + CONTROL + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /workload/v1/a HTTP/1.1\r\n" + CONTROL + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /workload/v1/a HTTP/1.1\r\n" + CONTROL + b"Content-Length : 3\r\n\r\nabc",
        b"GET /workload/v1/a HTTP/1.1\r\n" + CONTROL + b"x_weighthouse_run: run_other\r\n\r\n",
        b"GET /workload/v1/a HTTP/1.1\r\nHost: control.weighthouse\r\nHost: evil.test\r\n\r\n",
        b"GET /workload/v1/a\x00b HTTP/1.1\r\n" + CONTROL + b"\r\n",
        b"GET /workload/v1/a HTTP/0.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 32,
        b"\x16\x03\x01\x00\x05hello",
    ],
    ids=["both lengths", "two lengths", "odd coding", "space in name", "underscores", "two hosts", "nul",
         "ancient", "http2", "tls"],
)  # fmt: skip
def test_egress_case_56_a_request_that_two_parsers_could_read_differently_reaches_nobody(
    way: EnvoyHandle, short: Path, judge: Answers, sent: bytes
) -> None:
    lengths = b"Content-Length" in sent or b"Transfer-Encoding" in sent
    answer = exchange(short / "way", sent + (SMUGGLED if lengths else b""))
    assert not any("weighthouse-run" in name for name in heard(answer)), answer
    assert answer.count(b" 200 ") == 0 and sum(way.count().sent.values()) == 0, answer
    assert all(question.authority == "control.weighthouse,evil.test:80" for question in judge.asked), (
        "two hosts are none"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://evil.test/workload/v1/token HTTP/1.1",
        b"GET http://control.weighthouse:443/workload/v1/token HTTP/1.1",
        b"GET /workload/v1/token HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
        b"CONNECT control.weighthouse:80 HTTP/1.1",
        b"GET /workload/v1//../..//api HTTP/1.1",
        b"GET /workload/v1/%2e%2e/api HTTP/1.1",
        b"GET /workload/v1/..%2fapi HTTP/1.1",
        b"GET /workload/v1/..\\api HTTP/1.1",
        b"TRACE / HTTP/1.1",
    ],
    ids=[
        "other authority",
        "other port",
        "websocket",
        "connect",
        "dots",
        "encoded",
        "slash",
        "backslash",
        "trace",
    ],
)
def test_egress_case_51_no_form_of_request_reaches_more_than_the_workloads_own_endpoints(
    way: EnvoyHandle, short: Path, line: bytes
) -> None:
    answer = exchange(short / "way", line + b"\r\n" + CONTROL + b"\r\n")
    assert b" 101 " not in answer and not answer.startswith(b"HTTP/1.1 200"), answer
    assert sum(way.count().sent.values()) == 0


def test_egress_case_51_a_request_cannot_become_another_protocol(way: EnvoyHandle, short: Path) -> None:
    upgrade = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\n"
    answer = exchange(short / "way", b"GET /workload/v1/a HTTP/1.1\r\n" + CONTROL + upgrade + b"\r\n")
    assert b" 101 " not in answer and not {"upgrade", "http2-settings"} & set(heard(answer)), answer


def test_egress_case_56_what_a_run_claims_about_itself_is_gone_before_the_control_plane_reads_it(
    way: EnvoyHandle, short: Path
) -> None:
    claims = b"X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nCookie: whs=stolen\r\n"
    steering = (
        b"x-envoy-upstream-alt-stat-name: cluster.out_0\r\nx-envoy-max-retries: 99\r\nx-envoy-retry-on: 5xx\r\n"
    )
    answer = exchange(
        short / "way",
        b"GET /workload/v1/a HTTP/1.1\r\n" + CONTROL + claims + steering + b"X-Weighthouse-Run: run_other\r\n\r\n",
    )
    seen = heard(answer)
    assert seen["x-weighthouse-run"] == "run_one"
    assert not {"forwarded", "x-real-ip", "cookie"} & set(seen) and "10.0.0.1" not in str(seen), seen
    assert not [name for name in seen if name.startswith("x-envoy")], seen


@pytest.mark.parametrize(("authority", "port"), [("hub.test:25", 25), ("hub.test:80", 80), ("hub.test:65535", 65535)])
def test_egress_case_48_a_listed_host_on_another_port_is_not_listed(
    way: EnvoyHandle, short: Path, authority: str, port: int
) -> None:
    assert connect(short / "way", authority) in (403, 503)
    assert sum(way.count().sent.values()) == 0, port


def test_egress_case_56_bytes_sent_along_with_the_question_wait_for_its_answer(
    way: EnvoyHandle, short: Path, judge: Answers, tls_sink: Sink, plain_sink: Sink
) -> None:
    judge.rule = lambda question: False
    for place in ("sink.test:80", "hub.test:443", "evil.test:443"):
        exchange(short / "way", f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode() + b"weights" * 1000)
    assert plain_sink.connections == tls_sink.connections == 0 and sum(way.count().sent.values()) == 0


def test_egress_case_56_data_in_headers_and_addresses_of_a_refused_request_goes_nowhere(
    way: EnvoyHandle, short: Path, judge: Answers, plain_sink: Sink
) -> None:
    judge.rule = lambda question: False
    data = b"w" * 20_000
    exchange(short / "way", b"CONNECT sink.test:80 HTTP/1.1\r\nHost: sink.test:80\r\nX-Data: " + data + b"\r\n\r\n")
    exchange(short / "way", b"GET /" + data + b" HTTP/1.1\r\nHost: sink.test:80\r\n\r\n")
    exchange(short / "way", b"GET / HTTP/1.1\r\nHost: " + data[:500] + b".sink.test\r\n\r\n")
    assert plain_sink.connections == 0 and sum(way.count().sent.values()) == 0
    assert all("w" * 501 not in question.authority for question in judge.asked)


def test_egress_case_55_connections_beyond_the_limit_are_closed_and_leave_room_again(
    way: EnvoyHandle, short: Path
) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(envoy_config.MOST_CONNECTIONS):
            held.enter_context(dial(short / "way"))
        # Each of the last is told at once; those before are open and served.
        with dial(short / "way") as beyond:
            assert beyond.recv(1) == b""
    deadline = time.monotonic() + 30
    while _status(short / "way") != 200:
        assert time.monotonic() < deadline


def _status(way: Path) -> int:
    """Ask for a tunnel; 0 while the proxy has not yet noticed that there is room again and closes at once."""
    try:
        return connect(way, "sink.test:80")
    except OSError:
        return 0


def test_egress_case_55_a_flood_of_questions_is_slowed_before_any_is_asked(
    short: Path, judge: Answers, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(envoy_config, "MOST_REQUESTS", 10)
    monkeypatch.setattr(envoy_config, "REQUESTS_A_SECOND", 1)
    request.getfixturevalue("way")
    judge.rule = lambda question: False
    answers = []
    with dial(short / "way") as connection:
        for _ in range(60):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            answers.append(head_and_body(connection))
    assert answers.count(429) > 0 and len(judge.asked) == answers.count(403) < 60, answers


def head_and_body(connection: socket.socket) -> int:
    """Return the status of one answer, having read what follows its head (429 brings a body)."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += connection.recv(1)
    length = next(
        (int(line.split(b":")[1]) for line in seen.lower().splitlines() if line.startswith(b"content-length")), 0
    )
    while length:
        length -= len(connection.recv(length))
    return int(seen.split()[1])


@pytest.mark.timeout(60)
def test_egress_case_53_a_head_that_drips_is_closed(
    short: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    original = envoy_config._front

    def hasty(spec):  # type: ignore[no-untyped-def]
        front = original(spec)
        front["filter_chains"][0]["filters"][1]["typed_config"]["request_headers_timeout"] = "0.3s"
        return front

    monkeypatch.setattr(envoy_config, "_front", hasty)
    request.getfixturevalue("way")
    with dial(short / "way") as connection:
        connection.sendall(b"GET /workload/v1/a HTTP/1.1\r\nHost: control.wei")
        assert head(connection) in (0, 408)


def test_a_tunnel_to_a_listed_place_still_works_among_all_this(
    way: EnvoyHandle, short: Path, plain_sink: Sink
) -> None:
    with dial(short / "way") as connection:
        assert ask(connection, "sink.test:80") == 200
        connection.sendall(b"x" * 1000)
        assert plain_sink.wait_for(1000)
        deadline = time.monotonic() + 30
        while way.count().sent["sink.test:80"] < 1000:  # the sink may have read before the proxy has counted
            assert time.monotonic() < deadline
    assert way.count().sent["sink.test:80"] == 1000
