"""What the tests of egress share: a world with a real proxy, and sinks outside it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.egress.outside import Sink, certificate
from tests.egress.world import World, entry, lab_text
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose paths fit into a Unix socket address."""
    with tempfile.TemporaryDirectory(prefix="wh-") as folder:
        yield Path(folder)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Sink]:
    """The outside: accepts TLS on loopback and counts."""
    sink = Sink(certificate(tmp_path))
    yield sink
    sink.close()


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path, short: Path, hub: Sink) -> Iterator[World]:
    """A lab whose one profile lists `hub.test` on the hub's port."""
    made = World(database, clock, tmp_path, short)
    made.publish(lab_text([entry("hub.test", hub.port)]))
    yield made
    made.close()


@pytest.fixture
def at_once() -> Callable[[list[Callable[[], int]]], list[int]]:
    """Run functions in threads that all begin at one barrier; return their results."""

    def run(acts: list[Callable[[], int]]) -> list[int]:
        barrier = threading.Barrier(len(acts))

        def one(act: Callable[[], int]) -> int:
            barrier.wait()
            return act()

        with ThreadPoolExecutor(len(acts)) as pool:
            return [future.result() for future in [pool.submit(one, act) for act in acts]]

    return run
