"""A hold follows what was made from its subject, whatever that is called, and stops what was made from nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.weights.test_lineage import MODEL, PLOVER, SAVING
from tests.weights.world import APPROVERS, LAB, TERN, World

from weighthouse.access import api as access
from weighthouse.access.model import HELD_ACTIONS
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin
from weighthouse.weights import api as weights

DESTINATION = "x25519:" + "09" + "00" * 31
EXPORTING = """  plover-export:
    name: Export Plover
    description: Take one named version of Plover out.
    actions: [weights.export]
    resources: [model/plover]
    environment: frontier
    eligible: [training]
    operation: [version, destination]
    duration: {default: 8h, longest: 7d}
    approval:
      steward: {team: weights-stewards, count: 1}
"""


@pytest.fixture
def world(any_database: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Plover is of Tern's class here, so that what comes of Tern may be saved as Plover."""
    text = LAB.read_text("utf-8")
    model = MODEL.replace("class: internal", "class: frontier")
    role = EXPORTING.rstrip() + "\n      security: {team: security, count: 1}\n"
    for above, added in (("  dataset/stdlib:\n", model), ("  wren-train:\n", SAVING + role)):
        text = text.replace(above, added + above, 1)
    text = text.replace(
        SAVING, SAVING.replace("approval: none", "approval: {s: {team: weights-stewards}, t: {team: security}}")
    )
    text = text.replace(
        "duration: {default: 8h, longest: 7d, chain: 30d}\n    approval: {s:",
        "duration: {default: 8h, longest: 8h, chain: 2d}\n    approval: {s:",
    )
    text = text.replace(
        "operation: [version, destination]\n    duration: {default: 8h, longest: 7d}",
        "operation: [version, destination]\n    duration: {default: 1h, longest: 2h}",
    )
    for name in ("plover-save", "plover-export"):
        monkeypatch.setitem(APPROVERS, name, ("ben", "chi"))
    world = World(any_database, clock, tmp_path, text)
    world.grant("ada", "tern-train")
    world.grant("ada", "plover-save", PLOVER)
    return world


def child_of(world: World, parent: weights.Version, *, named: bool) -> weights.Version:
    """What a run makes of a version, saved as Plover; it need not name its parent."""
    run = world.run("ada")
    world.load(run, parent.id)
    return world.save(run, PLOVER, parent=parent.id if named else None, seed=2)


def hold(world: World, subject: str, *actions: str) -> access.Hold:
    chi = world.person("chi")
    world.settle()
    with begin(world.system, chi) as unit:
        return access.place_hold(unit, chi, subject, "look into it", actions=actions)


def export(world: World, version: weights.Version) -> str:
    """The code of the refusal; empty if it went out."""
    eve = world.person("eve")
    try:
        with begin(world.system, eve) as unit:
            weights.export(unit, eve, version.id, DESTINATION)
    except Denied as refusal:
        return refusal.code
    return ""


def approved(world: World, version: weights.Version) -> None:
    operation = {"version": version.id, "destination": DESTINATION}
    assert world.grant("eve", "plover-export", PLOVER, operation=operation) is not None


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("on", ["the model", "the version", "the committee"])
def test_a_child_of_what_is_held_is_not_exported_under_another_name(world: World, named: bool, on: str) -> None:
    tern = world.save(world.run("ada"))
    child = child_of(world, tern, named=named)
    approved(world, child)
    if on == "the committee":
        gil = world.person("gil")
        world.settle()
        with begin(world.system, gil) as unit:
            access.place_hold(unit, gil, TERN, "not evaluated", actions=HELD_ACTIONS, kind="governance")
    else:
        hold(world, TERN if on == "the model" else tern.id, "weights.export")
    before = world.size()
    assert export(world, child) == "access.held"
    assert world.since(before) == ["access.Denied"]


def test_what_a_run_saved_later_is_made_from_what_it_saved_before(world: World) -> None:
    run = world.run("ada")
    first, second = world.save(run, PLOVER), world.save(run, PLOVER, seed=2)
    approved(world, second)
    hold(world, first.id, "weights.export")
    assert export(world, second) == "access.held"


def test_what_was_made_from_nothing_that_is_held_goes_out(world: World) -> None:
    tern = world.save(world.run("ada"))
    run = world.run("ada")
    other = world.save(run, PLOVER)
    world.load(run, tern.id)  # after its save: nothing of it is in there
    approved(world, other)
    hold(world, TERN)
    assert export(world, other) == ""


def test_a_grandchild_is_held_and_what_only_saw_names_and_shapes_is_not(world: World) -> None:
    tern = world.save(world.run("ada"))
    child = child_of(world, tern, named=False)
    run = world.run("ada")
    world.load(run, child.id)
    grandchild = world.save(run, PLOVER, seed=3)
    looking = world.run("ada")
    with begin(world.system, looking) as unit:
        weights.describe(unit, looking, tern.id)
    other = world.save(looking, PLOVER, seed=4)
    hold(world, tern.id)
    approved_of = [(grandchild, "access.held"), (other, "")]
    for version, code in approved_of:
        operation = {"version": version.id, "destination": DESTINATION}
        with begin(world.system, world.person("eve")) as unit:
            assert access.held(unit, "weights.export", PLOVER, "eve", version.id) == bool(code), operation


def test_a_lease_on_what_a_held_version_was_made_into_is_not_renewed(world: World) -> None:
    tern = world.save(world.run("ada"))
    child = child_of(world, tern, named=False)
    reader = world.run("ada")
    ticket, _ = world.begin_load(reader, child.id)
    hold(world, tern.id)
    for act in (
        lambda unit: weights.renew(unit, reader, ticket.lease),
        lambda unit: weights.begin_load(unit, reader, child.id),
    ):
        before = world.size()
        with pytest.raises(Denied) as caught, begin(world.system, reader) as unit:
            act(unit)
        assert caught.value.code == "access.held" and world.since(before) == ["access.Denied"]


def test_a_committees_calls_that_suffice_follow_as_their_hold_would(world: World) -> None:
    tern = world.save(world.run("ada"))
    child = child_of(world, tern, named=False)
    approved(world, child)
    world.settle()
    with begin(world.system) as unit:
        line = access.HoldCall(id="cll_1", model=TERN, member="gil", reason="wait", at=unit.now)
        access.keep_call(unit, line)
    assert export(world, child) == "access.held"


def test_rows_that_tell_another_descent_change_nothing(world: World) -> None:
    tern = world.save(world.run("ada"))
    child = child_of(world, tern, named=False)
    approved(world, child)
    hold(world, TERN, "weights.export")
    with begin(world.system) as unit:
        unit.conn.exec_driver_sql("DELETE FROM access_hold")
        unit.conn.exec_driver_sql("DELETE FROM weights_lease")
    assert export(world, child) == "access.held"
