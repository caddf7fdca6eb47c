"""A world for the registry's tests, on SQLite, or on both databases where a test asks for `any_world`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.weights.world import World

from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return World(database, clock, tmp_path)


@pytest.fixture
def any_world(any_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return World(any_database, clock, tmp_path)
