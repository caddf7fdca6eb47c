"""Security hears of each order to destroy weights while it can still be undone; once, and nothing is ended by it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.weights.test_destroying import destroy, undestroy
from tests.weights.world import TERN, World
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin
from weighthouse.detect import api as detect
from weighthouse.detect import jobs
from weighthouse.weights import api as weights

RULE = "destruction-ordered"


@pytest.fixture
def world(any_database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return World(any_database, clock, tmp_path)


def alerts(world: World) -> list[detect.Alert]:
    for _ in range(2):  # on PostgreSQL a line is read, and followed, once the sequencer has taken it
        while audit.sequence(world.system):
            pass
        while jobs.follow(world.system):
            pass
    chi = world.person("chi")
    with begin(world.system, chi) as unit:
        return [one for one in detect.alerts(unit, chi) if one.rule == RULE]


def test_an_order_to_destroy_is_told_with_who_gave_it_and_the_command_that_undoes_it(world: World) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    world.grant("ada", "tern-destroy", operation={"version": version.id})
    assert alerts(world) == [], "to be allowed to is no order"
    order = destroy(world, "ada", version.id)
    (told,) = alerts(world)
    assert (told.severity, told.principal) == ("high", "ada")
    for said in (version.id, TERN, "ben", "chi"):
        assert said in told.text, said
    assert re.search(r"final at \d{4}-\d\d-\d\d \d\d:\d\d UTC", told.text)
    (command,) = re.findall(r"`weighthouse weights undestroy (ver_\w+)`", told.text)
    assert undestroy(world, "ben", command).id == version.id, "the remedy works, and its order is over"
    assert len(alerts(world)) == 1 and order.version == version.id
    world.grant("ada", "tern-destroy", operation={"version": version.id})
    destroy(world, "ada", version.id)
    assert len(alerts(world)) == 2, "a second order is a second incident"


def test_the_end_of_a_whole_model_is_told_the_same_way(world: World) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    order = world.end("ada", version)
    (told,) = alerts(world)
    for said in (f"the key of {TERN}, with all its versions,", "ben", "chi", "final at "):
        assert said in told.text, said
    (command,) = re.findall(r"`weighthouse weights undestroy-model ([\w/]+)`", told.text)
    chi = world.person("chi")
    world.confirm("chi", "model.undestroy", command)
    with begin(world.system, chi) as unit:
        weights.undestroy_model(unit, chi, command, "We did not mean it.")
    assert order.model == command and (told.severity, told.principal) == ("high", "ada")
