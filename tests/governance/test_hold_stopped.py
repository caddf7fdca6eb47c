"""A hold can tell what it has stopped: each line with which it stops something names it, and no other line does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.holds_table import DESTINATION, POINTS, HoldsWorld
from tests.weights.world import WREN
from weighthouse.access import api as access
from weighthouse.access.events import HoldLifted
from weighthouse.access.ports import Refusals
from weighthouse.access.store import holds as rows
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.ids import HoldId
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.runs.api import executing
from weighthouse.weights import api as weights
from weighthouse.weights.api import destroying


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[HoldsWorld]:
    (tmp_path / "s").mkdir()
    made = HoldsWorld(tmp_path, database)
    yield made
    made.close()


def hold(world: HoldsWorld, subject: str = WREN, *actions: str) -> str:
    with begin(world.system, world.person("chi")) as unit:
        return access.place_hold(unit, world.person("chi"), subject, "look into it", actions=actions).id


def refused(world: HoldsWorld, *points: str) -> None:
    for point in points:
        with pytest.raises(WeighthouseError) as caught:
            POINTS[point](world)
        assert caught.value.code in ("access.held", "runs.held"), (point, caught.value.code)


def shown(world: HoldsWorld, id_: str, who: str = "chi") -> tuple[int, list[tuple[str, str, str]]]:
    caller = world.person(who)
    with begin(world.system, caller) as unit:
        page = api.stopped_page(unit, caller, id_)
        assert page.total == api.show_hold(unit, caller, id_).stopped
        return page.total, [(one.what, one.by, one.about) for one in page.items]


def test_a_hold_that_stopped_two_loads_and_a_run_says_so_the_newest_first(world: HoldsWorld) -> None:
    placed = hold(world)
    refused(world, "load", "load", "submit")
    count, acts = shown(world, placed)
    assert count == 3
    loaded = ("weights.load", world.reader.principal, "model/finch")
    assert acts == [("run.submit", "ada", world.child.id), loaded, loaded]
    for line in world.facts("access.Denied"):
        assert line["hold"] == (placed if line["code"] == "access.held" else "")


def test_a_hold_that_stopped_nothing_and_a_refusal_for_another_reason(world: HoldsWorld) -> None:
    placed = hold(world, "model/tern")
    with pytest.raises(Denied) as caught, begin(world.system, world.person("ada")) as unit:
        access.require(unit, world.person("ada"), "audit.read", "lab")
    assert caught.value.code == "access.no_grant"
    with begin(world.system, world.person("kim")) as unit, pytest.raises(WeighthouseError):
        weights.export(unit, world.person("kim"), world.child.id, DESTINATION)
    assert shown(world, placed) == (0, [])


@pytest.mark.parametrize("point", ["request", "submit", "load", "lease", "export", "destroy"])
def test_whatever_a_hold_refuses_is_one_line_that_names_it(world: HoldsWorld, point: str) -> None:
    placed = hold(world)
    refused(world, point)
    assert shown(world, placed)[0] == 1


def test_what_was_under_way_and_ended_by_a_hold_is_told(world: HoldsWorld) -> None:
    placed = hold(world)
    with begin(world.system) as unit:
        executing.claim(unit, world.queued.id, "p")
    with begin(world.system) as unit:
        executing.end(unit, world.queued.id, exit_status=None, failure="", sent_bytes=0, lost="runs.held")
    assert shown(world, placed) == (1, [("run ended", world.queued.id, "model/finch")])
    world.clock.advance(8 * DAY)
    destroying.finish(world.system)
    assert shown(world, placed)[1][0] == ("weights.destroy", "", world.doomed.id)


def test_a_run_that_waits_and_one_that_could_not_start_are_told(world: HoldsWorld) -> None:
    placed = hold(world, "dataset/stdlib")
    with begin(world.system) as unit:
        executing.claim(unit, world.queued.id, "p")
    with begin(world.system) as unit:
        executing.end(unit, world.queued.id, exit_status=None, failure="access.held", sent_bytes=0)
    assert shown(world, placed) == (1, [("run not started", world.queued.id, "model/finch")])


def test_of_two_holds_the_one_placed_first_has_stopped_it_whatever_a_row_says(world: HoldsWorld) -> None:
    first, second = hold(world), hold(world, "lab")
    planted = access.Hold(
        id="hld_" + "0" * 26, subject=WREN, kind="security", reason="x", actions=(), placed_by="chi", at=1
    )  # type: ignore[arg-type]
    with begin(world.system) as unit:
        rows.put(unit.conn, planted)
    refused(world, "load")
    assert [shown(world, one)[0] for one in (first, second)] == [1, 0]


def test_pages_cut_the_list_and_a_lifted_hold_still_tells(world: HoldsWorld) -> None:
    placed = hold(world)
    refused(world, "load", "load", "submit")
    chi = world.person("chi")
    with begin(world.system, chi) as unit:
        page = api.stopped_page(unit, chi, placed, limit=2)
        rest = api.stopped_page(unit, chi, placed, limit=2, cursor=page.next)
        back = api.stopped_page(unit, chi, placed, limit=2, cursor=rest.previous)
    assert (len(page.items), len(rest.items), rest.next) == (2, 1, None) and back.items == page.items
    with begin(world.system, chi) as unit:
        rows.lift(unit.conn, HoldId(placed), unit.now, "chi", "it was nothing")
        said = {"hold": placed, "held": WREN, "kind": "security", "reason": "it was nothing", "by": "chi"}
        audit.append(unit, HoldLifted(**said, authority=""))
    world.system.part(Refusals).lift(HoldId(placed))
    with begin(world.system, chi) as unit:
        told = api.show_hold(unit, chi, placed)
    assert (told.hold.lifted, told.hold.reason, told.stopped) == (unit.now, "look into it", 3)


def test_who_may_place_no_hold_is_shown_nothing_and_one_that_never_was_is_not_found(world: HoldsWorld) -> None:
    placed, before = hold(world), world.size()
    with pytest.raises(Denied) as caught:
        shown(world, placed, "ada")
    assert caught.value.code == "access.no_grant" and world.since(before) == ["access.Denied"]
    assert shown(world, placed, "fay") == shown(world, placed, "gil") == (0, [])
    with pytest.raises(NotFound) as none:
        shown(world, "hld_" + "0" * 26)
    assert none.value.code == "access.no_such_hold"
