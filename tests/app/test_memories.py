"""A memory beside the database that is missing was lost: only `init` begins one (log attacks, L3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from weighthouse.access import api as access
from weighthouse.app import initialise
from weighthouse.app.home import Home
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin

PASSPHRASE = "a passphrase for tests"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A kept state folder in which somebody was refused something."""
    settings, home = initialise.load_settings(
        {"keys.scrypt_cost": 1 << 10, "mode": "development"}, state=tmp_path / "state"
    )
    system = initialise.initialise(settings, home, PASSPHRASE)
    with begin(system, SYSTEM) as unit:
        access.place_hold(unit, SYSTEM, "model/tern", "Looked at after the incident of Monday.")
    system.database.close()
    yield home


def opened(home: Home) -> str:
    """Open the folder as `serve` does; return the code of the refusal, nothing if there is none."""
    settings, same = initialise.load_settings({"keys.scrypt_cost": 1 << 10}, state=home.root)
    try:
        initialise.reopen(settings, same, PASSPHRASE).database.close()
    except WeighthouseError as refusal:
        return refusal.code
    return ""


def empty_the_log(home: Home) -> None:
    with closing(sqlite3.connect(home.database_file)) as connection, connection:
        for table in ("log_entry", "log_tile", "log_head"):
            connection.execute(f"DELETE FROM {table}")


def test_init_begins_every_memory_and_a_whole_folder_opens(home: Home) -> None:
    assert {"log", "policy", "identity", "refusals"} <= {one.name for one in home.memory.iterdir()}
    assert opened(home) == ""


@pytest.mark.parametrize("name", ["policy", "identity", "refusals"])
def test_a_folder_that_lost_a_memory_is_refused_again_and_again(home: Home, name: str) -> None:
    (home.memory / name).unlink()
    assert opened(home) == "app.memory_missing"
    assert opened(home) == "app.memory_missing"


def test_a_log_without_its_memory_is_refused(home: Home) -> None:
    (home.memory / "log").unlink()
    assert opened(home) == "audit.memory_missing"


def test_emptied_log_tables_beside_a_lost_memory_are_no_beginning(home: Home) -> None:
    empty_the_log(home)
    assert opened(home) == "audit.log_smaller"
    (home.memory / "log").unlink()
    assert opened(home) == "audit.memory_missing"
    assert opened(home) == "audit.memory_missing"


def test_a_folder_of_before_in_which_nothing_was_refused_gets_its_memory_of_refusals(tmp_path: Path) -> None:
    settings, home = initialise.load_settings(
        {"keys.scrypt_cost": 1 << 10, "mode": "development"}, state=tmp_path / "state"
    )
    initialise.initialise(settings, home, PASSPHRASE).database.close()
    (home.memory / "refusals").unlink()
    assert opened(home) == ""
    assert (home.memory / "refusals").stat().st_mode & 0o777 == 0o600
