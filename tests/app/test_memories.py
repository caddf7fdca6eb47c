"""A memory beside the database that is missing was lost: only `init` begins one (log attacks, L3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from weighthouse.access import api as access
from weighthouse.access.ports import Refusals
from weighthouse.app import initialise
from weighthouse.app.home import Home
from weighthouse.app.learning import Learning
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.ports import Memory

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


def learn_again(home: Home) -> Learning:
    """Open the folder and learn from its log once, as a start of the server does; the thread never runs."""
    settings, same = initialise.load_settings({"keys.scrypt_cost": 1 << 10}, state=home.root)
    learning = Learning(initialise.reopen(settings, same, PASSPHRASE), home.memory / "learnt")
    learning.catch_up()
    learning.settle()
    return learning


@pytest.mark.parametrize("restored", [True, False])
def test_a_memory_restored_from_a_backup_learns_what_it_missed_from_the_log(home: Home, restored: bool) -> None:
    first = learn_again(home)
    backup = {name: (home.memory / name).read_bytes() for name in ("identity", "refusals")}
    with begin(first.system, SYSTEM) as unit:
        identity.freeze(unit, "hana", "She behaves oddly tonight.", "system")
        hold = access.place_hold(unit, SYSTEM, "model/tern", "Something is wrong here.")
    first.catch_up()
    first.settle()
    known = first.system.part(Memory).version("hana")
    first.system.database.close()
    for name, content in backup.items():
        if restored:
            (home.memory / name).write_bytes(content)
        else:  # the form of folders made before: nothing says how far the memory has come, and a number stands beside
            (home.memory / name).write_bytes(b"")
            (home.memory / "learnt").write_text("2\n")
    again = learn_again(home)
    assert known and again.system.part(Memory).version("hana") == known
    assert hold.id in {one.id for one in again.system.part(Refusals).holds()}
    again.system.database.close()


@pytest.mark.parametrize("name", ["identity", "refusals"])
def test_a_memory_that_was_emptied_or_overwritten_with_nothing_is_refused(home: Home, name: str) -> None:
    learn_again(home).system.database.close()
    assert opened(home) == ""
    (home.memory / name).write_bytes(b"")
    assert opened(home) == "app.memory_missing"
    (home.memory / name).write_bytes(bytes(200))
    assert opened(home).endswith(".memory_broken")


def test_a_place_beyond_the_log_is_learnt_from_the_beginning(home: Home) -> None:
    first = learn_again(home)
    first.system.part(Memory).learnt_to(999_999)
    first.system.part(Refusals).learnt_to(999_999)
    first.system.database.close()
    again = learn_again(home)
    assert 0 < again.place < 999_999 and again.system.part(Memory).learnt() == again.place
    again.system.database.close()
