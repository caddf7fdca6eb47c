"""Somebody else holds the lock of the key file, for as long as they like. Nothing that is read waits for it."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.weights.world import TERN, World

from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.keys.adapters import embedded


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    made = World(database, clock, tmp_path)
    made.grant("ada", "tern-train")
    return made


@contextmanager
def held(world: World) -> Iterator[None]:
    """The lock, as another process holds it: on a descriptor of its own."""
    descriptor = os.open(world.state / "keys.sealed.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def code(act: Callable[[], object]) -> str:
    with pytest.raises(WeighthouseError) as caught:
        act()
    return caught.value.code


def test_a_change_is_given_up_with_one_line_and_no_half_of_it(world: World) -> None:
    run = world.run("ada")
    with held(world):
        before = world.size()
        assert code(lambda: world.begin_save(run)) == "keys.busy"  # it would make the model's first key
        assert [kind for kind in world.since(before) if kind != "access.Allowed"] == ["keys.KeyRefused"]
        assert world.sealed.describe() == []
    assert world.save(run).counter == 1


def test_loads_go_on_while_a_change_waits_for_the_lock(world: World) -> None:
    run = world.run("ada")
    version = world.save(run)
    changing = threading.Thread(target=world.sealed.destroy, args=(TERN,))  # waits long, for it must not be lost
    with held(world):
        changing.start()
        while not world.sealed._writing.locked():
            changing.join(0.01)
        for _ in range(3):
            world.load(run, version.id)
        assert changing.is_alive(), "it still waits, and nobody waited for it"
        assert code(lambda: world.sealed.rotate(TERN)) == "keys.busy"  # nor for the other thread's turn without end
    changing.join(embedded.WAIT_LONG_S + 5)
    assert world.sealed.describe()[0].destroyed


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_lock_that_is_no_file_is_refused_and_not_waited_for(world: World, kind: str) -> None:
    run = world.run("ada")
    version = world.save(run)
    lock = world.state / "keys.sealed.lock"
    lock.unlink()
    {"pipe": lambda: os.mkfifo(lock), "folder": lock.mkdir, "link": lambda: lock.symlink_to("keys.sealed")}[kind]()
    assert code(lambda: world.sealed.rotate(TERN)) == "keys.unavailable"
    world.load(run, version.id)
