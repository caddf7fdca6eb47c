"""What the tests of the log share: systems with a signer's memory, and facts to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.audit.pairs import Pair, folder_of
from tests.audit.support import Lab, bind_log
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import System


@pytest.fixture
def lab(make_system: Callable[[Database], System], database: Database, tmp_path: Path) -> Lab:
    """A log on SQLite."""
    return Lab(bind_log(make_system(database), tmp_path))


@pytest.fixture
def any_lab(make_system: Callable[[Database], System], any_database: Database, tmp_path: Path) -> Lab:
    """The same test on both databases."""
    return Lab(bind_log(make_system(any_database), tmp_path))


@pytest.fixture
def postgres_lab(make_system: Callable[[Database], System], postgres_url: str, tmp_path: Path) -> Iterator[Lab]:
    """A log on PostgreSQL."""
    database = Database(postgres_url)
    database.create_all()
    yield Lab(bind_log(make_system(database), tmp_path))
    database.close()


@pytest.fixture
def pair(
    postgres_url: str, make_system: Callable[[Database], System], tmp_path: Path, clock: ManualClock
) -> Iterator[Pair]:
    database = Database(postgres_url)
    database.create_all()
    labs = [folder_of(make_system(database), tmp_path, name) for name in ("a", "b")]
    yield Pair(clock, *labs)
    database.close()
