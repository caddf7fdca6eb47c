"""Contract of the Proxy port, against the real Envoy: listed places only, the same name inside, counted, cuttable."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest
from tests.egress.outside import Sink, ask, connect, dial, greet, head
from tests.ports.benches import Answers

from weighthouse.core.errors import Unavailable
from weighthouse.egress.adapters.envoy import Envoy, EnvoyHandle
from weighthouse.egress.adapters.judge_server import JudgeServer
from weighthouse.egress.model import Destination
from weighthouse.egress.ports import ProxySpec


def test_a_listed_host_is_reached_by_its_own_name_and_counted(
    way: EnvoyHandle, short: Path, tls_sink: Sink, judge: Answers
) -> None:
    with dial(short / "way") as connection:
        assert ask(connection, "hub.test:443") == 200
        with greet(connection, "hub.test") as inside:
            inside.sendall(b"x" * 10_000)
            assert tls_sink.wait_for(10_000)
            deadline = time.monotonic() + 30
            # Handshake and record overhead count too; the sink may have read before the proxy has counted.
            while way.count().sent["hub.test:443"] <= 10_500:
                assert time.monotonic() < deadline
    assert [(q.kind, q.authority, q.server_name) for q in judge.asked] == [
        ("outer", "hub.test:443", ""),
        ("inner", "hub.test:443", "hub.test"),
    ]
    assert {q.token for q in judge.asked} == {"secret-token"}


@pytest.mark.parametrize("name", ["evil.test", "hub.test.evil.test", None])
def test_egress_case_47_an_inner_name_that_differs_gets_nothing_through(
    way: EnvoyHandle, short: Path, tls_sink: Sink, name: str | None
) -> None:
    with dial(short / "way") as connection:
        assert ask(connection, "hub.test:443") == 200
        with pytest.raises(OSError):
            greet(connection, name)
    assert tls_sink.received == 0 and way.count().sent["hub.test:443"] == 0


def test_egress_case_47_holds_though_the_judge_would_allow_it_and_though_the_rbac_would(
    way: EnvoyHandle, short: Path, tls_sink: Sink, judge: Answers
) -> None:
    judge.rule = lambda question: question.kind == "outer"  # the second lock alone must refuse even the right name
    with dial(short / "way") as connection:
        assert ask(connection, "hub.test:443") == 200
        with pytest.raises(OSError):
            greet(connection, "hub.test")
    assert tls_sink.received == 0


def test_raw_bytes_in_a_tunnel_that_must_be_tls_go_nowhere(way: EnvoyHandle, short: Path, tls_sink: Sink) -> None:
    with dial(short / "way") as connection:
        assert ask(connection, "hub.test:443") == 200
        connection.sendall(b"weights, plainly\r\n\r\n" * 100)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""
    assert tls_sink.received == 0 and way.count().sent["hub.test:443"] == 0


@pytest.mark.parametrize(
    "authority", ["evil.test:443", "hub.test:22", "127.0.0.1:443", "[::1]:443", "169.254.169.254:80"]
)
def test_what_is_not_listed_leads_nowhere_even_if_the_judge_were_wrong(
    way: EnvoyHandle, short: Path, authority: str
) -> None:
    assert connect(short / "way", authority) in (403, 503)
    assert sum(way.count().sent.values()) == 0


def test_a_judge_that_says_no_or_fails_or_is_gone_is_a_no(
    way: EnvoyHandle, short: Path, judge: Answers, judge_server: JudgeServer
) -> None:
    judge.rule = lambda question: False
    assert connect(short / "way", "hub.test:443") == 403
    judge.rule = lambda question: bool(1 // 0)
    assert connect(short / "way", "hub.test:443") == 403
    judge_server.stop()
    assert connect(short / "way", "hub.test:443") == 403


def test_the_broker_hears_which_run_it_is_from_the_proxy_alone(way: EnvoyHandle, short: Path, judge: Answers) -> None:
    with dial(short / "way") as connection:
        connection.sendall(
            b"GET /workload/v1/token HTTP/1.1\r\nHost: control.weighthouse\r\nX-Weighthouse-Run: run_other\r\n"
            b"x-weighthouse-run: run_third\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert [line for line in answer.decode().splitlines() if "weighthouse-run" in line] == [
        "x-weighthouse-run=run_one"
    ]
    assert judge.asked == []


@pytest.mark.parametrize("path", ["/api/v1/runs", "/workload/v1/../../api", "/workload/v1/%2e%2e/%2e%2e/api", "/"])
def test_no_path_but_the_workload_routes_reaches_the_broker(way: EnvoyHandle, short: Path, path: str) -> None:
    with dial(short / "way") as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: control.weighthouse\r\n\r\n".encode())
        assert head(connection) in (400, 404)


def test_plain_http_to_any_other_host_is_judged_and_leads_nowhere(
    way: EnvoyHandle, short: Path, judge: Answers, plain_sink: Sink
) -> None:
    for host in ("evil.test", "sink.test", "sink.test:80"):
        with dial(short / "way") as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc".encode())
            assert head(connection) in (403, 503)
    assert plain_sink.received == 0
    assert [q.authority for q in judge.asked] == ["evil.test:80", "sink.test:80", "sink.test:80"]


def test_egress_case_57_a_cut_ends_a_tunnel_that_was_opened_before_it(
    way: EnvoyHandle, short: Path, plain_sink: Sink
) -> None:
    with dial(short / "way") as connection:
        assert ask(connection, "sink.test:80") == 200
        connection.sendall(b"before")
        assert plain_sink.wait_for(6)
        way.cut()
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.sendall(b"after" * 1000)
    assert plain_sink.received == 6 and not way.alive()


def test_a_count_that_cannot_be_read_is_an_error_never_a_zero(way: EnvoyHandle) -> None:
    way.cut()
    with pytest.raises(Unavailable) as refused:
        way.count()
    assert refused.value.code == "egress.uncounted"


def test_the_sockets_of_control_are_for_the_control_plane_alone(way: EnvoyHandle, short: Path) -> None:
    assert (short / "judge").stat().st_mode & 0o777 == 0o600
    assert (short / "p" / "admin").stat().st_mode & 0o777 == 0o600
    assert (short / "p" / "envoy.json").stat().st_mode & 0o777 == 0o600


def test_a_proxy_dies_with_the_thread_that_started_it(short: Path, judge_server: JudgeServer) -> None:
    started: list[EnvoyHandle] = []
    folder = short / "q"
    folder.mkdir(mode=0o700)
    spec = ProxySpec(
        run="run_two",
        token="t",
        folder=folder,
        socket=short / "way2",
        judge=short / "judge",
        broker=short / "broker",
        destinations=(
            Destination(host="h.test", port=1, tls=True, addresses=("127.0.0.1",), address_port=1, rate=1),
        ),
    )
    thread = threading.Thread(target=lambda: started.append(Envoy().start(spec)))
    thread.start()
    thread.join()
    for pid in started[0].pids:
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == 9
    started[0].cut()
