"""What every test may ask for: a hand-moved clock, a real database of either kind, a system with log and keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests import postgres
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.ids import new_id
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """No test writes to the log by a handler, a level or a stream that another one left."""
    ours, root = logging.getLogger("weighthouse"), logging.getLogger()
    for one in root.handlers[:]:
        if getattr(getattr(one, "stream", None), "closed", False):  # somebody's basicConfig, under another's capture
            root.removeHandler(one)
    found = ours.handlers[:], ours.level, ours.propagate
    yield
    ours.handlers[:], ours.level, ours.propagate = found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres.server() as address:
        yield address


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of a fresh, empty PostgreSQL database, dropped afterwards."""
    name = new_id("tst")
    admin = create_engine(postgres_server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres_server.format(name=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'weighthouse.db'}"


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    opened = Database(sqlite_url)
    opened.create_all()
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The same test on both databases."""
    opened = Database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    opened.create_all()
    yield opened
    opened.close()


@pytest.fixture
def make_system(tmp_path: Path, clock: ManualClock) -> Callable[[Database], System]:
    """Build a system over a database, with keys from a fixed seed and its state in the test's folder."""

    def make(database: Database) -> System:
        settings = Settings((*DECLARED, *audit.settings), flags={"state": tmp_path, "mode": "development"})
        system = System(settings, clock, database)
        system.bind(Signers, MemorySigners(b"\x07" * 32))
        return system

    return make


@pytest.fixture
def system(make_system: Callable[[Database], System], database: Database) -> System:
    return make_system(database)
