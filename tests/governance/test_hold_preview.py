"""What a hold would stop is said before it is placed, by the rule that then decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.holds_table import FINCH, POINTS, HoldsWorld
from tests.weights.world import WREN
from weighthouse.access import api as access
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid
from weighthouse.core.work import begin
from weighthouse.governance import api

NOTHING = dict.fromkeys(("running", "queued", "leased", "exporting", "approved", "requested", "destroying"), 0)


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[HoldsWorld]:
    (tmp_path / "s").mkdir()
    made = HoldsWorld(tmp_path, database)
    yield made
    made.close()


def preview(world: HoldsWorld, subject: str, *actions: str, who: str = "chi") -> api.HoldPreview:
    caller = world.person(who)
    with begin(world.system, caller) as unit:
        return api.preview_hold(unit, caller, subject, actions)


def counts(found: api.HoldPreview) -> dict[str, int]:
    return {one.what: one.count for one in found.stops}


def test_a_preview_counts_what_is_under_way_and_names_the_first_of_it(world: HoldsWorld) -> None:
    before = world.size()
    found = preview(world, WREN)
    told = {one.what: one.first for one in found.stops}
    assert told["queued"] == (world.queued.id,) and told["destroying"] == (world.doomed.id,)
    assert world.lease in told["leased"] and counts(found)["leased"] == 2
    assert (counts(found)["exporting"], counts(found)["running"]) == (1, 0)
    assert all(len(line) <= 80 for line in found.words)
    assert world.since(before) == []
    with begin(world.system) as unit:
        assert access.holds(unit) == []


def test_what_is_said_is_what_is_stopped_then(world: HoldsWorld) -> None:
    assert counts(preview(world, "model/tern")) == NOTHING
    only = preview(world, world.parent.id, "weights.export")
    assert counts(only) == {**NOTHING, "exporting": 1, "approved": 2, "destroying": 1}, "the grants to destroy, too"
    assert any("weights.destroy" in line for line in only.words)
    data = preview(world, "dataset/stdlib")
    assert counts(data) == {**NOTHING, "queued": 1, "leased": 1, "exporting": 1, "approved": 2, "destroying": 1}
    assert any("on what was trained on it" in line for line in data.words)
    with begin(world.system, world.person("chi")) as unit:
        access.place_hold(unit, world.person("chi"), "dataset/stdlib", "look into it")
    for point in ("start", "export", "load"):
        with pytest.raises(Denied):
            POINTS[point](world)


def test_a_request_that_waits_is_counted(world: HoldsWorld) -> None:
    world.waiting()
    assert counts(preview(world, FINCH))["requested"] == 1
    assert counts(preview(world, "ada"))["requested"] == 1


def test_who_may_place_no_hold_is_shown_nothing(world: HoldsWorld) -> None:
    before = world.size()
    with pytest.raises(Denied) as caught:
        preview(world, WREN, who="ada")
    assert caught.value.code == "access.no_grant" and world.since(before) == ["access.Denied"]
    assert preview(world, WREN, "weights.export", who="gil").subject == WREN
    for subject, actions in (("class:none", ()), (WREN, ("weights.fly",)), ("dataset/stdlib", ("weights.save",))):
        with pytest.raises(Invalid) as refused:
            preview(world, subject, *actions)
        assert refused.value.code == "access.bad_hold"
