"""A key service put back from yesterday, seen at use by what the log proves: also after a restart, whatever it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.weights.world import PASSPHRASE, TERN, World

from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.detect.rules import written
from weighthouse.keys import api as keys
from weighthouse.keys import jobs
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.weights import api as weights


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    made = World(database, clock, tmp_path)
    made.grant("ada", "tern-train")
    return made


def started_over(world: World, file: str) -> None:
    """Another file in the place of the key file, and a server that has seen no other."""
    shutil.copy(world.state / file, world.state / "keys.sealed")
    world.system.bind(KeyService, SealedKeys.open(world.state / "keys.sealed", PASSPHRASE, clock=world.clock))


def kept(world: World, name: str) -> None:
    shutil.copy(world.state / "keys.sealed", world.state / name)


def rotated(world: World, *, past_log: bool = False) -> int:
    with world.unit(SYSTEM) as unit:
        return keys.rotate(unit, SYSTEM, TERN, past_log=past_log)


def raised(world: World, minimum: int) -> None:
    with world.unit(SYSTEM) as unit:
        keys.set_minimum(unit, SYSTEM, TERN, minimum)


def refused(world: World, act: Callable[[], object], code: str = "keys.rolled_back") -> None:
    before = world.size()
    with pytest.raises(WeighthouseError) as caught:
        act()
    assert caught.value.code == code
    assert [kind for kind in world.since(before) if kind != "access.Allowed"] == ["keys.KeyRefused"]
    assert world.facts("keys.KeyRefused")[-1]["code"] == code


def health(world: World) -> keys.Health:
    with world.unit(SYSTEM) as unit:
        return keys.health(unit)


CHANGES: dict[str, Callable[[World], object]] = {
    "rotated": rotated,
    "minimum raised": lambda world: raised(world, rotated(world)),
    "lost whole": lambda world: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_restart_the_log_knows_more_than_an_older_file(world: World, change: str) -> None:
    run = world.run("ada")
    if change == "lost whole":
        kept(world, "yesterday")  # from before Tern had any key
    version = world.save(run)
    if change != "lost whole":
        kept(world, "yesterday")
    CHANGES[change](world)
    kept(world, "newest")
    assert health(world).ok
    started_over(world, "yesterday")
    refused(world, lambda: world.begin_load(run, version.id))
    refused(world, lambda: world.begin_save(run))
    for act in (lambda: rotated(world), lambda: raised(world, 1), lambda: rewrapped(world, version.id)):
        with pytest.raises(WeighthouseError) as caught:
            act()
        assert caught.value.code == "keys.rolled_back"
    assert not health(world).ok
    started_over(world, "newest")
    assert health(world).ok
    assert world.save(run).counter == 2


def rewrapped(world: World, version: str) -> None:
    with world.unit(SYSTEM) as unit:
        weights.rewrap(unit, version)


def test_the_clock_does_not_turn_an_older_file_into_a_newer_one(world: World) -> None:
    version = world.save(world.run("ada"))
    kept(world, "yesterday")
    rotated(world)
    started_over(world, "yesterday")
    world.clock.advance(jobs.ROTATE_EVERY)
    assert jobs.rotate_due(world.system) == 0
    world.grant("ada", "tern-train")
    run = world.run("ada")
    refused(world, lambda: world.begin_load(run, version.id))


def test_a_restored_file_is_taken_into_use_past_what_the_log_proves_and_undoes_no_minimum(world: World) -> None:
    run = world.run("ada")
    old = world.save(run)
    kept(world, "backup")
    rotated(world)
    lost = world.save(run)  # under version 2, which the backup does not have
    raised(world, 2)
    refused(world, lambda: world.begin_load(run, old.id), "keys.version_too_old")
    started_over(world, "backup")
    assert rotated(world, past_log=True) == 3
    assert health(world).ok
    (told,) = world.system.part(KeyService).describe()
    assert (told.current, told.minimum) == (3, 2)
    refused(world, lambda: world.begin_load(run, old.id), "keys.version_too_old")
    refused(world, lambda: world.begin_load(run, lost.id), "keys.wrong_context")
    world.load(run, world.save(run).id)


def test_a_key_that_the_restored_file_never_had_begins_past_what_was_lost(world: World) -> None:
    run = world.run("ada")
    kept(world, "backup")
    lost = world.save(run)
    started_over(world, "backup")
    assert rotated(world, past_log=True) == 2
    refused(world, lambda: world.begin_load(run, lost.id), "keys.wrong_context")
    world.load(run, world.save(run).id)


def test_what_was_destroyed_is_not_made_anew_by_a_rotation(world: World) -> None:
    world.save(world.run("ada"))
    with world.unit(SYSTEM) as unit:
        keys.destroy(unit, SYSTEM, TERN)
    for past_log in (False, True):
        with pytest.raises(WeighthouseError) as caught:
            rotated(world, past_log=past_log)
        assert caught.value.code == "keys.destroyed"


def test_an_older_key_file_raises_an_alert_and_other_refusals_do_not() -> None:
    told = written.conclude(7, 0, "keys.KeyRefused", TERN, {"code": "keys.rolled_back"})
    assert told is not None
    assert (told.rule, told.severity) == ("database-written", "high")
    assert written.conclude(7, 0, "keys.KeyRefused", TERN, {"code": "keys.rate"}) is None
