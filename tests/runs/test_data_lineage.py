"""A hold on a data set is on what was trained on it, however far down and under whatever model (finding G3, G4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.holds_table import DATA, DESTINATION, FINCH, HoldsWorld
from weighthouse.access import api as access
from weighthouse.access.api import about
from weighthouse.audit import api as audit
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin, read
from weighthouse.weights import api as weights

OTHER = "dataset/other"


@pytest.fixture
def world(any_database: Database, tmp_path: Path) -> HoldsWorld:
    (tmp_path / "s").mkdir()
    return HoldsWorld(tmp_path, any_database)


def settle(world: HoldsWorld) -> None:
    """On PostgreSQL a line is read once the sequencer has taken it."""
    while audit.sequence(world.system):
        pass


def held(world: HoldsWorld, version: str) -> bool:
    settle(world)
    with begin(world.system) as unit:
        return bool(access.held(unit, "weights.load", FINCH, "ada", version))


def hold(world: HoldsWorld, subject: str, *actions: str) -> None:
    with begin(world.system, world.person("chi")) as unit:
        access.place_hold(unit, world.person("chi"), subject, "look into it", actions=actions)


def test_an_export_of_what_was_trained_on_held_data_is_refused_with_one_line(world: HoldsWorld) -> None:
    ada = world.person("ada")
    hold(world, DATA)
    settle(world)
    before = world.size()
    with pytest.raises(Denied) as caught, begin(world.system, ada) as unit:
        weights.export(unit, ada, world.child.id, DESTINATION)
    settle(world)
    assert caught.value.code == "access.held" and world.since(before) == ["access.Denied"]


def test_what_was_made_from_it_in_another_run_on_other_data_is_held_too(world: HoldsWorld) -> None:
    later = world.run("ada", environment="research")
    world.order_with(later, OTHER)
    world.begin_load(later, world.child.id)
    grandchild = world.save(later, FINCH, seed=5)
    hold(world, DATA)
    assert [held(world, one) for one in (world.child.id, grandchild.id)] == [True, True]
    assert not held(world, world.parent.id), "Wren was there before, and came of other data"


def test_what_was_trained_on_other_data_or_saved_outside_of_runs_goes_on(world: HoldsWorld) -> None:
    other = world.run("ada", environment="research")
    world.order_with(other, OTHER)
    beside = world.save(other, FINCH, seed=6)
    hold(world, DATA)
    assert [held(world, one) for one in (beside.id, world.parent.id)] == [False, False]


def test_a_hold_on_its_exports_alone_lets_it_be_loaded(world: HoldsWorld) -> None:
    hold(world, DATA, "weights.export")
    assert not held(world, world.child.id)
    with read(world.system) as unit:
        assert DATA in about.about(unit, FINCH, world.child.id).far
        assert DATA not in about.about(unit, FINCH).all
