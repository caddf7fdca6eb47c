"""What the contract tests of ports share: folders with short paths, and a bench in every sandbox of this machine."""

from __future__ import annotations

import os
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.egress.outside import Sink, certificate
from tests.ports.benches import Answers, Bench, Echo, driver, fed

from weighthouse.egress.adapters.envoy import Envoy, EnvoyHandle
from weighthouse.egress.adapters.judge_server import JudgeServer
from weighthouse.egress.model import Destination
from weighthouse.egress.ports import ProxySpec
from weighthouse.runs.adapters.ground import own_environment
from weighthouse.runs.model import Environment
from weighthouse.runs.ports import Sandbox

FAST = 64 * 1024 * 1024
ROOT = os.geteuid() == 0
BUBBLEWRAP = ["bubblewrap", "bubblewrap in a user namespace"] if ROOT else ["bubblewrap in a user namespace"]
GVISOR = ["gvisor", "gvisor, rootless"] if ROOT else ["gvisor, rootless"]


@pytest.fixture(scope="session")
def environment() -> Environment:
    return own_environment()


@pytest.fixture(params=[*BUBBLEWRAP, *(pytest.param(name, marks=pytest.mark.real_gvisor) for name in GVISOR)])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return driver(request.param)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose paths fit into a Unix socket address."""
    with tempfile.TemporaryDirectory(prefix="wh-") as folder:
        yield Path(folder)


@pytest.fixture
def bench(sandbox: Sandbox, environment: Environment, short: Path) -> Bench:
    return Bench(sandbox, environment, short)


@pytest.fixture
def judge() -> Answers:
    return Answers()


@pytest.fixture
def judge_server(short: Path, judge: Answers) -> Iterator[JudgeServer]:
    server = JudgeServer(short / "judge", judge)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tls_sink(tmp_path: Path) -> Iterator[Sink]:
    sink = Sink(certificate(tmp_path))
    yield sink
    sink.close()


@pytest.fixture
def plain_sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
def way(short: Path, judge_server: JudgeServer, tls_sink: Sink, plain_sink: Sink) -> Iterator[EnvoyHandle]:
    broker = socketserver.ThreadingUnixStreamServer(str(short / "broker"), Echo)
    broker.daemon_threads = True
    serving = threading.Thread(target=broker.serve_forever, daemon=True)
    serving.start()
    destinations = (
        Destination(
            host="hub.test", port=443, tls=True, addresses=("127.0.0.1",), address_port=tls_sink.port, rate=FAST
        ),
        Destination(
            host="sink.test", port=80, tls=False, addresses=("127.0.0.1",), address_port=plain_sink.port, rate=FAST
        ),
    )
    private = short / "p"
    private.mkdir(mode=0o700)
    spec = ProxySpec(
        run="run_one",
        token="secret-token",
        folder=private,
        socket=short / "way",
        judge=short / "judge",
        broker=short / "broker",
        destinations=destinations,
    )
    handle = Envoy().start(spec)
    with fed(handle, [f"{one.host}:{one.port}" for one in destinations]):
        yield handle
    handle.cut()
    broker.shutdown()
    broker.server_close()
