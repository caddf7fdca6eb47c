"""A run that has opened frontier weights saves nothing under a lower class, whether it names a parent or leaves it out."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.weights.world import LAB, World, arrays

from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied

PLOVER = "model/plover"
MODEL = """  model/plover:
    name: Plover
    description: A scratch model in the frontier environment.
    class: internal
    environment: frontier
    owner: training
    tags: [language]
    size: 100GiB
"""
SAVING = """  plover-save:
    name: Save Plover
    description: Save and load Plover checkpoints.
    actions: [weights.load, weights.save]
    resources: [model/plover]
    environment: frontier
    eligible: [training]
    duration: {default: 8h, longest: 7d, chain: 30d}
    approval: none
"""


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    text = LAB.read_text("utf-8")
    for above, added in (("  dataset/stdlib:\n", MODEL), ("  wren-train:\n", SAVING)):
        text = text.replace(above, added + above, 1)
    world = World(database, clock, tmp_path, text)
    world.grant("ada", "tern-train")
    world.grant("ada", "plover-save", PLOVER)
    return world


def test_weights_loaded_without_being_named_as_the_parent_are_not_saved_under_a_lower_class(world: World) -> None:
    tern = world.save(world.run("ada"))
    thief = world.run("ada")
    world.load(thief, tern.id)
    before = world.size()
    with pytest.raises(Denied) as caught:
        world.begin_save(thief, PLOVER)
    assert caught.value.code == "weights.class_lowered"
    assert world.since(before) == ["weights.ManifestRefused"]
    assert world.save(thief).model == tern.model


def test_nor_by_a_save_that_was_begun_before_the_load(world: World) -> None:
    tern = world.save(world.run("ada"))
    thief = world.run("ada")
    draft = world.begin_save(thief, PLOVER)
    world.load(thief, tern.id)
    envelope, before = draft.write(arrays()), world.size()
    with pytest.raises(Denied) as caught:
        world.commit(thief, draft, envelope)
    assert caught.value.code == "weights.class_lowered"
    assert world.since(before) == ["weights.ManifestRefused"]


def test_another_run_of_the_same_person_that_loaded_nothing_saves_as_before(world: World) -> None:
    tern = world.save(world.run("ada"))
    world.load(world.run("ada"), tern.id)
    assert world.save(world.run("ada"), PLOVER).model == PLOVER


def test_a_run_continues_from_nothing_that_it_only_names(world: World) -> None:
    tern = world.save(world.run("ada"))
    other = world.run("ada")
    before = world.size()
    with pytest.raises(Denied) as caught:
        world.begin_save(other, parent=tern.id)
    assert caught.value.code == "weights.parent_unopened"
    assert world.since(before) == ["weights.ManifestRefused"]
    world.load(other, tern.id)
    child = world.save(other, parent=tern.id, seed=2)
    assert child.parent is not None and child.parent.version == tern.id
    after = world.save(other, parent=child.id, seed=3)  # what it saved itself it had
    assert after.parent is not None and after.parent.version == child.id
