"""Counters set back in the database: the log's own sum counts, in the same process, in another one, and afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.weights.world import LAB, TERN, World, reopen

from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import TooMany, Unavailable
from weighthouse.core.work import System, begin, read
from weighthouse.weights import api as weights

RESETS = (
    "UPDATE weights_read SET bytes = 0",
    "UPDATE weights_read SET bytes = -1000000000",
    "DELETE FROM weights_read",
    "UPDATE weights_read SET day = day - 1",
    "UPDATE weights_read SET person = 'somebody'",
)
# Lowers the row at each load, so that it never holds a true sum.
TRIGGER = (
    "CREATE TRIGGER lower AFTER UPDATE ON weights_read BEGIN UPDATE weights_read SET bytes = 1 WHERE bytes > 1; END"
)


def lab(database: Database, clock: ManualClock, state: Path, budget: str) -> World:
    world = World(
        database, clock, state, LAB.read_text("utf-8").replace("read_budget: 64MiB", f"read_budget: {budget}")
    )
    world.grant("ada", "tern-train")
    return world


@pytest.fixture
def small(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return lab(database, clock, tmp_path, "600KiB")


@pytest.fixture
def any_small(any_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return lab(any_database, clock, tmp_path, "600KiB")


def sql(world: World, statement: str) -> None:
    with world.system.database.engine.connect() as connection:
        connection.execute(text(statement))
        connection.commit()


def sequenced(world: World) -> None:
    """On PostgreSQL, entries wait for the sequencer; a moment later they are in the log."""
    while audit.sequence(world.system):
        pass


@contextmanager
def again(world: World, state: Path) -> Iterator[System]:
    """Another process over the same database and state, started now."""
    url = world.system.database.engine.url.render_as_string(hide_password=False)
    system = reopen(url, state, world.clock.now())
    yield system
    system.database.close()


def spend_all(world: World) -> str:
    version = world.save(world.run("ada"))
    for _ in range(600 * 1024 // version.bytes):
        world.begin_load(world.run("ada"), version.id)
    return str(version.id)


def refused(world: World, version: str, system: System | None = None) -> None:
    caller = world.run("ada")
    with pytest.raises(TooMany) as caught, begin(system or world.system, caller) as unit:
        weights.begin_load(unit, caller, version)
    assert caught.value.code == "weights.read_budget"


@pytest.mark.parametrize("reset", RESETS)
def test_weights_case_38_a_read_budget_set_back_in_the_database_stays_spent(small: World, reset: str) -> None:
    version = spend_all(small)
    sequenced(small)
    sql(small, reset)
    refused(small, version)
    sequenced(small)
    assert small.facts("weights.TamperFound")[-1] == {"what": f"ada {TERN}", "code": "weights.read_row"}
    with read(small.system) as unit:
        budget = weights.read_budget(unit, "ada", TERN)
    assert budget.spent > budget.limit - 300_000
    assert budget.left == max(0, budget.limit - budget.spent)


@pytest.mark.parametrize("lowered", [False, True])
def test_no_days_budget_begins_anew_by_a_clock_that_leapt(
    database: Database, clock: ManualClock, tmp_path: Path, lowered: bool
) -> None:
    """Attack: whoever rules the time sets it past midnight, again and again."""
    clock.advance(DAY - clock.now() % DAY - 10 * MINUTE)
    small = lab(database, clock, tmp_path, "600KiB")
    version = spend_all(small)
    clock.set(clock.now() + 20 * MINUTE)
    if lowered:
        sql(small, "DELETE FROM weights_read")
    refused(small, version)
    clock.set(clock.now() - 20 * MINUTE)
    refused(small, version)
    assert len(small.facts("weights.TamperFound")) <= lowered * 2
    clock.advance(20 * MINUTE)
    refused(small, version)  # past a true midnight as well: each load counts until it lies a day back
    clock.advance(DAY)
    with begin(small.system, small.run("ada")) as unit:
        assert unit.clock_trouble == "" and weights.read_budget(unit, "ada", TERN).spent == 0


def test_weights_case_38_a_trigger_that_keeps_the_row_low_wins_nothing(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    small = lab(database, clock, tmp_path, "1MiB")
    version = small.save(small.run("ada"))
    sql(small, TRIGGER)
    allowed = (1 << 20) // version.bytes
    assert allowed > 3
    for _ in range(allowed):
        small.begin_load(small.run("ada"), version.id)
    refused(small, version.id)
    assert len(small.facts("weights.TamperFound")) > 1


def test_weights_case_38_no_process_old_or_new_believes_the_row(any_small: World, tmp_path: Path) -> None:
    version = spend_all(any_small)
    sql(any_small, "DELETE FROM weights_read")
    # On PostgreSQL the entries of the loads still wait for the sequencer: this process remembers what it let out.
    refused(any_small, version)
    sequenced(any_small)
    with again(any_small, tmp_path) as other:
        refused(any_small, version, other)


def test_a_row_set_back_within_the_budget_is_named_once_and_put_right(small: World) -> None:
    version = small.save(small.run("ada"))
    small.begin_load(small.run("ada"), version.id)
    sequenced(small)
    sql(small, "DELETE FROM weights_read")
    small.begin_load(small.run("ada"), version.id)
    sequenced(small)
    assert len(small.facts("weights.TamperFound")) == 1
    assert [fact["spent"] for fact in small.facts("weights.LoadStarted")] == [version.bytes, 2 * version.bytes]
    small.clock.advance(DAY)
    small.grant("ada", "tern-train")
    small.begin_load(small.run("ada"), version.id)  # a new day begins at nothing, with no alarm
    sequenced(small)
    assert len(small.facts("weights.TamperFound")) == 1


@pytest.mark.parametrize("reset", ["UPDATE keys_release SET count = 0", "DELETE FROM keys_release"])
def test_weights_case_40_a_key_count_set_back_in_the_database_still_counts(small: World, reset: str) -> None:
    run = small.run("ada")
    small.begin_save(run, shards=998)
    small.begin_save(run, shards=998)
    sequenced(small)
    sql(small, reset)
    before = small.size()
    with pytest.raises(TooMany) as caught:
        small.begin_save(run, shards=10)
    sequenced(small)
    assert caught.value.code == "keys.rate"
    assert [kind for kind in small.since(before) if kind.startswith("keys.")] == [
        "keys.CountLowered",
        "keys.KeyRefused",
    ]
    assert small.facts("keys.CountLowered")[-1]["logged"] == 1998
    small.clock.advance(MINUTE)
    small.begin_save(run, shards=10)


def test_an_entry_hidden_from_the_sum_stops_the_load(small: World, tmp_path: Path) -> None:
    # The entry of a load is given another kind in its column, or removed: a selection by kind would miss it.
    version = spend_all(small)
    sequenced(small)
    sql(small, "DELETE FROM weights_read")
    sql(small, "UPDATE log_entry SET kind = 'web.Nothing', subject = 'x' WHERE kind = 'weights.LoadStarted'")
    with again(small, tmp_path) as other:
        refused(small, version, other)
    sql(small, "DELETE FROM log_entry WHERE kind = 'web.Nothing'")
    caller = small.run("ada")
    with again(small, tmp_path) as other, pytest.raises(Unavailable) as caught, begin(other, caller) as unit:
        weights.begin_load(unit, caller, version)
    assert caught.value.code == "audit.tampered"
