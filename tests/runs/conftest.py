"""What the tests of runs share: a control plane that really executes them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose paths fit into a Unix socket address."""
    with tempfile.TemporaryDirectory(prefix="wh-") as folder:
        yield Path(folder)


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    made = RunsWorld(database, clock, tmp_path, short).start()
    yield made
    made.close()
