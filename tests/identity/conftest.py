"""What the tests of identity share: one lab on SQLite, and the same on both databases where locking matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.identity.support import Lab
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(database, clock, tmp_path)


@pytest.fixture
def any_lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(any_database, clock, tmp_path)


@pytest.fixture
def strict(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    """As in production: new keys wait."""
    return Lab(database, clock, tmp_path, **{"identity.new_keys": "confirm"})
