"""Attack: spend a budget before a stroke of the clock, and again after it. A window that slides has no such stroke."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.weights.test_lowered_counts import again, lab, sequenced, sql
from tests.weights.world import TERN, World

from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, Millis
from weighthouse.core.database import Database
from weighthouse.core.errors import TooMany
from weighthouse.core.ids import new_id
from weighthouse.core.work import read
from weighthouse.weights import api as weights
from weighthouse.weights.api import budgets
from weighthouse.weights.events import LoadStarted, WeightsExported
from weighthouse.weights.model import Version
from weighthouse_sdk.checkpoint_binding import Recipient

LIMIT = 1000


@pytest.fixture
def small(any_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return lab(any_database, clock, tmp_path, "600KiB")


def wait(world: World, span: Millis) -> None:
    sequenced(world)  # on PostgreSQL nothing is opened while lines wait for hours
    world.clock.advance(span)


def a_version(size: int) -> Version:
    return Version(
        id=new_id("ver"), model=TERN, counter=1, save=new_id("sav"), parent=None, principal="ada", person="ada", run="",
        digest="sha256:" + "0" * 64, shards=1, bytes=size, prefix="versions/x", at=0,
    )  # fmt: skip


def opened(world: World, person: str, size: int, *, exports: bool = False) -> bool:
    """Charge as a load or an export does, with its line; return whether the budget had that much."""
    caller, found = world.person(person), a_version(size)
    try:
        with world.unit(caller) as unit:
            if exports:
                budgets.charge_export(unit, caller, found, LIMIT)
                audit.append(unit, WeightsExported(
                    export=new_id("exp"), version=found.id, model=TERN, person=person, destination="x25519:", bytes=size,
                    digest=found.digest, grant="", repeated=False,
                ))  # fmt: skip
            else:
                spent = budgets.charge(unit, caller, found, LIMIT)
                audit.append(unit, LoadStarted(
                    version=found.id, model=TERN, person=person, run="", bytes=size, spent=spent, lease="", until=unit.now,
                ))  # fmt: skip
    except TooMany as error:
        assert error.code == "weights.read_budget"
        return False
    sequenced(world)
    return True


def test_a_days_budget_spent_before_midnight_is_spent_after_it(small: World) -> None:
    wait(small, DAY - small.clock.now() % DAY - MINUTE)
    assert opened(small, "ada", LIMIT)
    before = small.size()
    for span in (2 * MINUTE, 12 * HOUR, 11 * HOUR + 57 * MINUTE):
        wait(small, span)
        assert not opened(small, "ada", 1)
    assert small.since(before) == ["weights.ReadBudgetSpent"] * 3
    wait(small, 2 * MINUTE)
    assert opened(small, "ada", LIMIT)


@pytest.mark.parametrize("reset", ["DELETE FROM weights_read", "UPDATE weights_read SET bytes = 0", "SELECT 1"])
def test_another_process_and_an_emptied_table_remember_the_day_before(
    small: World, tmp_path: Path, reset: str
) -> None:
    wait(small, DAY - small.clock.now() % DAY - MINUTE)
    assert opened(small, "ada", LIMIT)
    sql(small, reset) if reset != "SELECT 1" else None
    wait(small, 2 * MINUTE)
    with again(small, tmp_path) as other, read(other) as unit:
        found = weights.read_budget(unit, "ada", TERN)
    assert (found.spent, found.left) >= (LIMIT, 0)
    assert found.resets == small.clock.now() - 2 * MINUTE + DAY


def test_what_another_server_let_out_a_moment_before_midnight_counts_before_the_log_has_it(
    any_database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    small = lab(any_database, clock, tmp_path, "600KiB")
    wait(small, DAY - clock.now() % DAY - SECOND)
    assert opened(small, "ada", LIMIT // 2)
    with any_database.engine.connect() as theirs:  # its row is here; its line still waits for the sequencer
        theirs.execute(text("UPDATE weights_read SET bytes = bytes + 500 WHERE person = 'ada'"))
        theirs.commit()
    wait(small, 2 * SECOND)
    assert not opened(small, "ada", 1)


@pytest.mark.parametrize("seed", range(3))
def test_whenever_anybody_opens_no_24_hours_ever_carry_more_than_the_budget(
    database: Database, clock: ManualClock, tmp_path: Path, seed: int
) -> None:
    world, chance = lab(database, clock, tmp_path, "600KiB"), random.Random(seed)
    record: list[tuple[Millis, str, int, bool]] = []
    midnight = DAY - clock.now() % DAY
    waits = (0, 1, MINUTE, HOUR, 5 * HOUR, 11 * HOUR, DAY - 1, DAY, DAY + 1, midnight)
    for _ in range(120):
        who, size, exports = chance.choice(("ada", "eve")), chance.choice((10, 300, 600, 1000)), chance.random() < 0.4
        if opened(world, who, size, exports=exports):
            record.append((clock.now(), who, size, exports))
        clock.advance(chance.choice(waits))
    for end, *_ in record:
        within = [one for one in record if end - DAY < one[0] <= end]
        for who in ("ada", "eve"):
            assert sum(size for _, whose, size, _ in within if whose == who) <= LIMIT
        assert sum(size for _, _, size, exports in within if exports) <= LIMIT, "of the model, by whomever"
    assert sum(size for _, _, size, _ in record) > 5 * LIMIT


def test_exports_of_one_model_by_several_people_count_together_with_one_line(small: World) -> None:
    assert opened(small, "eve", 600, exports=True)
    before = small.size()
    assert not opened(small, "gil", 600, exports=True)
    assert small.since(before) == ["weights.ReadBudgetSpent"]
    assert small.facts("weights.ReadBudgetSpent")[-1]["person"] == "gil"
    assert opened(small, "gil", 600), "what everybody exports does not count as what one person loads"
    assert not opened(small, "eve", 600), "and what one person exported does count as loaded"


def test_an_export_beyond_the_budget_releases_no_key(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    world = lab(database, clock, tmp_path, "600KiB")
    version = world.save(world.run("ada"))
    destination = f"x25519:{Recipient().public.hex()}"
    world.grant("eve", "tern-export", operation={"version": version.id, "destination": destination})
    eve, given = world.person("eve"), -1
    with pytest.raises(TooMany) as caught:
        while given < 10:
            given, before = given + 1, world.size()
            with world.unit(eve) as unit:
                weights.export(unit, eve, version.id, destination)
    assert caught.value.code == "weights.read_budget" and given == 600 * 1024 // version.bytes
    assert world.since(before) == ["weights.ReadBudgetSpent"]


def test_a_minutes_data_keys_given_before_its_stroke_count_after_it(small: World) -> None:
    run = small.run("ada")
    wait(small, MINUTE - small.clock.now() % MINUTE - SECOND)
    small.begin_save(run, shards=998)
    small.begin_save(run, shards=998)
    sequenced(small)
    wait(small, 2 * SECOND)
    before = small.size()
    with pytest.raises(TooMany) as caught:
        small.begin_save(run, shards=10)
    assert caught.value.code == "keys.rate"
    sequenced(small)
    assert [kind for kind in small.since(before) if kind.startswith("keys.")] == ["keys.KeyRefused"]
    wait(small, MINUTE)
    small.begin_save(run, shards=998)
