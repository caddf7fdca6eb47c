"""Wrapping data keys again: all of a model's, in small steps that a kill interrupts, and a minimum that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.weights.world import TERN, WREN, World, arrays

from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.keys import api as keys
from weighthouse.weights import api as weights


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    made = World(database, clock, tmp_path)
    made.grant("ada", "tern-train")
    return made


def rotated(world: World) -> int:
    with world.unit(SYSTEM) as unit:
        return keys.rotate(unit, SYSTEM, TERN)


def raised(world: World, version: int) -> None:
    with world.unit(SYSTEM) as unit:
        weights.raise_minimum(unit, SYSTEM, TERN, version)


def lying(world: World) -> dict[int, int]:
    with world.unit(SYSTEM) as unit:
        return weights.lying(unit, TERN)


def code(act: Callable[[], object]) -> str:
    with pytest.raises(WeighthouseError) as caught:
        act()
    return caught.value.code


def sql(world: World, statement: str) -> None:
    with world.system.database.engine.begin() as connection:
        connection.execute(text(statement))


def test_all_of_a_model_is_wrapped_again_also_what_is_being_saved(world: World) -> None:
    run = world.run("ada")
    version, draft = world.save(run), world.begin_save(run)
    assert lying(world) == {1: 4}
    assert rotated(world) == 2
    assert code(lambda: raised(world, 2)) == "weights.keys_below"
    looked = list(weights.rewrap_all(world.system, TERN))
    assert sorted((each.keys, each.moved, each.problem) for each in looked) == [(2, 2, ""), (2, 2, "")]
    assert {(fact["count"], fact["kek_version"]) for fact in world.facts("weights.KeysRewrapped")} == {(2, 2)}
    assert lying(world) == {2: 4}
    raised(world, 2)
    world.load(run, version.id)
    again = world.commit(run, draft, draft.write(arrays(2)))
    world.load(run, again.id)
    assert [each.problem for each in weights.verify_keys(world.system, TERN)] == ["", ""]


def test_a_rewrap_that_was_killed_goes_on_where_it_ended_and_writes_no_line_twice(world: World) -> None:
    run = world.run("ada")
    for seed in range(3):
        world.save(run, seed=seed)
    rotated(world)
    list(islice(weights.rewrap_all(world.system, TERN), 1))
    assert lying(world) == {2: 2, 1: 4}
    assert sum(each.moved for each in weights.rewrap_all(world.system, TERN)) == 4
    assert sum(each.moved for each in weights.rewrap_all(world.system, TERN)) == 0
    assert len(world.facts("weights.KeysRewrapped")) == 3


def test_another_models_keys_are_left_alone(world: World) -> None:
    world.grant("ada", "wren-train", WREN)
    world.save(world.run("ada"))
    world.save(world.run("ada", environment="research"), WREN)
    rotated(world)
    assert [each.moved for each in weights.rewrap_all(world.system, TERN)] == [2]
    with world.unit(SYSTEM) as unit:
        assert weights.lying(unit, WREN) == {1: 2}


@pytest.mark.parametrize(
    "edit", ["UPDATE weights_key SET kek_version = 2", "UPDATE weights_key SET kek = 'model/wren'"]
)
def test_what_a_column_says_hides_no_data_key_from_the_minimum(world: World, edit: str) -> None:
    version = world.save(world.run("ada"))
    rotated(world)
    sql(world, edit)
    assert code(lambda: raised(world, 2)) == "weights.keys_below"
    assert [each.moved for each in weights.rewrap_all(world.system, TERN)] == [2]
    raised(world, 2)
    world.load(world.run("ada"), version.id)


def test_a_save_that_does_not_hold_is_named_and_keeps_none_of_the_others(world: World) -> None:
    run = world.run("ada")
    bad, good = world.save(run), world.save(run, seed=2)
    rotated(world)
    sql(world, f"UPDATE weights_version SET seal = x'00' WHERE id = '{bad.id}'")
    looked = {each.save: each for each in weights.rewrap_all(world.system, TERN)}
    assert looked[bad.save].problem.startswith("weights.row_seal")
    assert looked[good.save].moved == 2
    assert len(world.facts("weights.TamperFound")) == 1
    assert code(lambda: raised(world, 2)) == "weights.keys_below"
    told = {each.save: each.problem for each in weights.verify_keys(world.system, TERN)}
    assert told[bad.save].startswith("weights.row_seal") and told[good.save] == ""


def test_a_wrapped_key_that_was_moved_is_found_by_trying_it(world: World) -> None:
    run = world.run("ada")
    world.save(run)
    sql(world, "UPDATE weights_key SET blob = (SELECT max(blob) FROM weights_key)")
    (told,) = weights.verify_keys(world.system, TERN)
    assert told.problem.startswith("keys.wrong_context")
