"""What the contract tests of ports share: folders with short paths, and a bench in every sandbox of this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports.benches import Bench, driver

from weighthouse.runs.adapters.ground import own_environment
from weighthouse.runs.model import Environment
from weighthouse.runs.ports import Sandbox

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
