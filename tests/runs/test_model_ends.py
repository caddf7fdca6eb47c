"""A model whose key is ordered to be destroyed: no run begins or goes on, and a hold that undoes it tells so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.holds_table import FINCH, POINTS, HoldsWorld
from weighthouse.access import api as access
from weighthouse.core.clock import DAY
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.governance import api as governance
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights
from weighthouse.weights import store


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[HoldsWorld]:
    (tmp_path / "s").mkdir()
    made = HoldsWorld(tmp_path, database)
    with begin(made.system) as unit:
        store.drop_leases(unit.conn, unit.now + DAY)  # the readers are done
    yield made
    made.close()


def code_at(world: HoldsWorld, point: str) -> str:
    with pytest.raises(WeighthouseError) as caught:
        POINTS[point](world)
    return caught.value.code


def test_no_run_is_submitted_begins_or_goes_on_and_undone_they_do(world: HoldsWorld) -> None:
    world.end("ada", world.doomed)
    size = world.size()
    assert code_at(world, "submit") == "weights.model_being_destroyed"
    assert world.since(size) == ["runs.ReferenceRefused"]
    assert code_at(world, "start") == "runs.lost_access"
    assert code_at(world, "running") == "runs.lost_access"
    with begin(world.system, world.person("ben")) as unit:
        undo = identity.Act(type="model.undestroy", subject=FINCH)
        identity.factor_given(unit, world.person("ben"), [undo], method="test", at=unit.now)
        weights.undestroy_model(unit, world.person("ben"), FINCH, "It is needed.")
    for point in ("submit", "start", "running"):
        POINTS[point](world)


def test_none_begins_from_nothing_either(world: HoldsWorld) -> None:
    world.end("ada", world.doomed)
    with pytest.raises(WeighthouseError) as caught:
        world.submit("pass", model=FINCH)
    assert caught.value.code == "weights.model_being_destroyed"


def test_none_has_a_version_of_it_as_its_parent(world: HoldsWorld) -> None:
    world.end("ada", world.doomed)
    with pytest.raises(WeighthouseError) as caught:
        world.submit("pass", model="model/wren", parent=world.child.id)
    assert caught.value.code == "weights.model_being_destroyed"


def test_a_hold_says_before_that_it_undoes_it_and_afterwards_that_it_did(world: HoldsWorld) -> None:
    world.end("ada", world.doomed)
    chi = world.person("chi")
    with begin(world.system, chi) as unit:
        told = next(
            one for one in governance.preview_hold(unit, chi, "dataset/stdlib", ()).stops if one.what == "destroying"
        )
        assert set(told.first) == {world.doomed.id, FINCH}
        placed = access.place_hold(unit, chi, "dataset/stdlib", "What it was trained on is looked into.")
    world.clock.advance(8 * DAY)
    assert weights.finish_models(world.system) == 0
    with begin(world.system, chi) as unit:
        page = governance.stopped_page(unit, chi, placed.id)
    assert [(one.what, one.about) for one in page.items] == [("weights.destroy_model", FINCH)]
