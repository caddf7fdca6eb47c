"""A no that is acknowledged holds for what was decided before it and is not committed yet.

Attack: who administers the database locks a row or a table that an act comes to after it was decided, lets go once a
hold, a revocation or a freeze was answered, and the act goes on as if nothing had been said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.weights.test_destroying import code_of
from tests.weights.test_ending import GRACE, OVER, UNDONE, end, ended, keep, saved
from tests.weights.test_ending import grant as approved
from tests.weights.test_replayed_exports import Exported
from tests.weights.world import TERN, World

from weighthouse.access import api as access
from weighthouse.access.model import HoldCall
from weighthouse.access.ports import Refusals
from weighthouse.core.clock import MINUTE, SECOND, ManualClock
from weighthouse.core.database import Database
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights

DESTROYED = "weights.CheckpointDestroyed"


@pytest.fixture
def world(postgres_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[World]:
    """On PostgreSQL alone: on SQLite writers come one after the other."""
    database = Database(postgres_url)
    database.create_all()
    yield World(database, clock, tmp_path)
    database.close()


@contextmanager
def locked(world: World, statement: str) -> Iterator[None]:
    """What an administrator of the database holds."""
    with world.system.database.engine.connect() as connection, connection.begin():
        connection.execute(text(statement))
        yield


def meanwhile(world: World, statement: str, act: Callable[[], object], said: Callable[[], object]) -> str:
    """The code of an act that waits for a lock until something was said and acknowledged; empty if it was done."""
    codes: list[str] = []

    def tried() -> None:
        try:
            act()
        except Exception as refusal:
            codes.append(getattr(refusal, "code", repr(refusal)))

    going = threading.Thread(target=tried)
    with locked(world, statement):
        going.start()
        time.sleep(1)
        assert going.is_alive(), "it waits"
        said()
        assert going.is_alive()
    going.join(30)
    assert not going.is_alive()
    return codes[0] if codes else ""


def hold(world: World, subject: str = TERN) -> None:
    chi = world.person("chi")
    with world.unit(chi) as unit:
        access.place_hold(unit, chi, subject, "An incident.")


def revoke(world: World, grant: str) -> None:
    chi = world.person("chi")
    with world.unit(chi) as unit:
        access.revoke(unit, chi, grant, "It is not needed.")


def freeze(world: World, person: str) -> None:
    with world.unit() as unit:
        identity.freeze(unit, person, "Odd reads.", "chi")


def call(world: World) -> None:
    """The chair calls for a hold, which is remembered before any lock is waited for, and stops by itself."""
    called = HoldCall(id="cal_1", model=TERN, member="gil", at=world.clock.now())
    world.system.part(Refusals).call(called)


NOES: dict[str, Callable[[World, str], object]] = {
    "hold": lambda world, _: hold(world),
    "lab": lambda world, _: hold(world, "lab"),
    "revoke": revoke,
}
CALLED: dict[str, Callable[[World, str], object]] = {**NOES, "call": lambda world, _: call(world)}


@pytest.mark.parametrize("table", ["keys_release", "weights_read"])
@pytest.mark.parametrize("no", CALLED)
def test_an_export_under_way_gives_no_bundle_after_the_no_was_said(world: World, no: str, table: str) -> None:
    export = Exported(world)
    world.settle()
    world.clock.advance(10 * SECOND)
    eve, bundles = world.person("eve"), list[Any]()

    def asked() -> None:
        with world.unit(eve) as unit:
            bundles.append(weights.export(unit, eve, export.version.id, export.destination))

    before, size = len(world.facts("weights.WeightsExported")), world.size()
    code = meanwhile(world, f"LOCK TABLE {table} IN EXCLUSIVE MODE", asked, lambda: CALLED[no](world, export.grant))
    assert code == ("access.grant_ended" if no == "revoke" else "access.held")
    assert len(world.facts("weights.WeightsExported")) == before
    assert world.since(size).count("access.Denied") == 1


@pytest.mark.parametrize("what", ["load", "description"])
def test_a_load_and_a_description_under_way_are_refused_as_well(world: World, what: str) -> None:
    world.grant("ada", "tern-train")
    version, run, ada = world.save(world.run("ada")), world.run("ada"), world.person("ada")
    world.settle()

    def described() -> None:
        with world.unit(ada) as unit:
            weights.describe(unit, ada, version.id)

    act = described if what == "description" else lambda: world.begin_load(run, version.id)
    code = meanwhile(world, "LOCK TABLE keys_release IN EXCLUSIVE MODE", act, lambda: hold(world))
    assert code == "access.held" and not world.facts("weights.LoadStarted")


LOCKS = {  # of the row that is turned first, and of what goes between the questions and the commit
    "row": {
        "version": "SELECT * FROM weights_version FOR UPDATE",
        "model": "SELECT * FROM weights_model_order FOR UPDATE",
    },
    "keys": dict.fromkeys(("version", "model"), "SELECT * FROM weights_key FOR UPDATE"),
}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("no", [*NOES, "freeze"])
@pytest.mark.parametrize("what", ["version", "model"])
def test_an_end_under_way_is_undone_by_what_was_said_meanwhile(world: World, what: str, no: str, lock: str) -> None:
    version = saved(world)
    (world.end if what == "model" else world.order)("ada", version)
    kind = "weights.ModelDestructionOrdered" if what == "model" else "weights.DestructionOrdered"
    grant = str(world.facts(kind)[-1]["grant"])
    world.settle()
    world.clock.advance(GRACE)
    finish = weights.finish_models if what == "model" else weights.finish

    def said() -> None:
        freeze(world, "ben") if no == "freeze" else NOES[no](world, grant)

    assert meanwhile(world, LOCKS[lock][what], lambda: finish(world.system), said) == ""
    finish(world.system)
    undone = [*world.facts(UNDONE), *world.facts("weights.DestructionUndone")]
    assert len(undone) == 1 and not world.facts(OVER) and not world.facts(DESTROYED)


def test_a_model_is_kept_or_it_is_over_and_never_both(world: World) -> None:
    """Attack: lock the row of an order in its last minute, so that its undoing and its end both wait for it."""
    version = saved(world)
    world.end("ada", version)
    world.settle()
    world.clock.advance(GRACE)
    codes: dict[str, str] = {}

    def tried(name: str, act: Callable[[], object]) -> threading.Thread:
        going = threading.Thread(target=lambda: codes.update({name: code_or_none(act)}))
        going.start()
        time.sleep(1)
        return going

    with locked(world, "SELECT * FROM weights_model_order FOR UPDATE"):
        going = [tried("end", lambda: weights.finish_models(world.system)), tried("undo", lambda: keep(world, "ada"))]
    for one in going:
        one.join(30)
    world.settle()
    over, undone = world.facts(OVER), world.facts(UNDONE)
    assert len(over) + len(undone) == 1
    assert (codes["undo"] == "") == bool(undone), codes


def code_or_none(act: Callable[[], object]) -> str:
    try:
        act()
    except Exception as refusal:
        return str(getattr(refusal, "code", repr(refusal)))
    return ""


COUNTED = {
    "raised": ["UPDATE weights_version SET counter = 3 WHERE id = :old"],
    "swapped": [
        "UPDATE weights_version SET counter = 100 WHERE id = :new",
        "UPDATE weights_version SET counter = 2 WHERE id = :old",
        "UPDATE weights_version SET counter = 1 WHERE id = :new",
    ],
    "moved": [
        "UPDATE weights_version SET counter = 100, model = 'model/none' WHERE id = :new",
        "UPDATE weights_version SET counter = 2 WHERE id = :old",
    ],
    "copied": ["UPDATE weights_version SET id = :old, counter = 2 WHERE id = :new"],
}


@pytest.mark.parametrize("how", COUNTED)
def test_an_order_is_not_about_a_version_that_rows_alone_count_as_the_newest(any_world: World, how: str) -> None:
    """Attack: an approval names an older version as the newest one; the database is made to say the same."""
    world = any_world
    old = saved(world)
    approved(world, old)
    new = world.save(world.run("ada"), seed=2)
    world.settle()
    world.clock.advance(5 * MINUTE)
    assert code_of(lambda: end(world, "ada")) == "access.operation_differs"
    with world.system.database.engine.begin() as connection:
        if how == "copied":
            connection.execute(text("DELETE FROM weights_version WHERE id = :old"), {"old": old.id})
        for statement in COUNTED[how]:
            names = {name: one.id for name, one in (("old", old), ("new", new)) if f":{name}" in statement}
            connection.execute(text(statement), names)
    size = world.size()
    assert code_of(lambda: end(world, "ada")) in ("weights.rolled_back", "weights.row_seal")
    assert world.since(size) == ["weights.TamperFound"]


def test_an_end_is_undone_where_rows_count_another_version_as_the_newest(any_world: World) -> None:
    world = any_world
    version = saved(world)
    world.end("ada", version)
    world.settle()
    world.clock.advance(GRACE)
    with world.system.database.engine.begin() as connection:
        connection.execute(text("UPDATE weights_version SET counter = 3 WHERE id = :it"), {"it": version.id})
    assert ended(world) == (0, ["weights.TamperFound", UNDONE]) and not world.facts(OVER)
