"""Rows of the ledger, of ways and of credits that were set back by hand: this server knows what it debited and lent."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.egress.outside import Sink
from tests.egress.world import World
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import TooMany
from weighthouse.core.work import begin, read
from weighthouse.egress import api as egress
from weighthouse.egress.adapters.books import FileBooks
from weighthouse.egress.model import Key
from weighthouse.egress.ports import Books

KIB = 1024
RESETS = (
    "DELETE FROM egress_ledger",
    "UPDATE egress_ledger SET bytes = 0",
    "UPDATE egress_ledger SET bytes = -1000000000",
    "UPDATE egress_ledger SET bucket = bucket - 100000",
    "UPDATE egress_ledger SET name = name || '-'",
)


def sql(world: World, statement: str) -> None:
    with world.system.database.engine.connect() as connection:
        connection.execute(text(statement))
        connection.commit()


def drain(world: World, run: str) -> int:
    for count in range(10_000):
        try:
            with begin(world.system, SYSTEM) as unit:
                egress.charge_step(unit, run, KIB // 2, model="model/tern", person="eve")
        except TooMany:
            return count
    raise AssertionError("it never ended")


@pytest.mark.parametrize("reset", RESETS)
def test_egress_case_55_a_ledger_that_was_set_back_gives_nothing_back(
    world: World, tmp_path: Path, reset: str
) -> None:
    assert drain(world, "run_one") > 0
    sql(world, reset)
    assert drain(world, "run_one") == 0, "in the same process"
    told = [fact for fact in world.facts("egress.TamperFound") if fact["what"] == "model model/tern"]
    assert told == [{"what": "model model/tern", "code": "egress.ledger_row"}]
    world.system.bind(Books, FileBooks(tmp_path / "egress.books"))
    assert drain(world, "run_one") == 0, "and after a restart"


def test_a_ledger_set_back_within_the_budget_is_told_once_and_put_right(world: World) -> None:
    for _ in range(3):
        with begin(world.system, SYSTEM) as unit:
            egress.charge_step(unit, "run_one", 100, model="model/tern", person="eve")
        if not world.facts("egress.TamperFound"):
            sql(world, "DELETE FROM egress_ledger")
    accounts = [fact["what"] for fact in world.facts("egress.TamperFound")]
    assert len(accounts) == len(set(accounts)) > 0
    with world.system.database.engine.connect() as connection:
        kept = connection.execute(text("SELECT bytes FROM egress_ledger WHERE level = 'model'")).scalar()
    assert kept == 300


def test_a_unit_that_fails_leaves_nothing_in_the_books(world: World) -> None:
    key = Key("model", "model/tern")
    with pytest.raises(RuntimeError), begin(world.system, SYSTEM) as unit:
        egress.charge_step(unit, "run_one", 100, model="model/tern", person="eve")
        raise RuntimeError
    assert not any(world.system.part(Books).of(key).values())
    with pytest.raises(RuntimeError), begin(world.system, SYSTEM) as unit:
        egress.charge_step(unit, "run_one", 100, model="model/tern", person="eve")
        unit.last_before_commit(lambda: (_ for _ in ()).throw(RuntimeError()))
    assert not any(world.system.part(Books).of(key).values())


def test_books_are_written_anew_and_read_back_whole(tmp_path: Path) -> None:
    books, key = FileBooks(tmp_path / "b"), Key("model", "m")
    books.add([(key, 1, 5), (Key("lab", "l"), 1, 5)])
    books.add([(key, 9, 7)])
    with (tmp_path / "b").open("ab") as file:
        file.write(b"[9,1,")  # torn: it was never committed
    books.add([(key, 9, -2)])
    books.forget_before(5)
    assert dict(FileBooks(tmp_path / "b").of(key)) == {9: 5}
    with (tmp_path / "b").open("ab") as file:
        file.write(b"[9]\n")
    with pytest.raises(Exception, match="no server has written"):
        FileBooks(tmp_path / "b")


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE egress_credit SET granted = 4000000000",
        "UPDATE egress_way SET profile = 'none'",
        "UPDATE egress_way SET model = 'model/wren', person = 'ada', refused = -5, leads = 'a:1'",
    ],
)
def test_rows_of_an_open_way_are_not_believed_and_told_once(world: World, hub: Sink, edit: str) -> None:
    way, host = world.open(fed=False), f"hub.test:{hub.port}"
    with begin(world.system, SYSTEM) as unit:
        assert egress.lease(unit, "run_one", "out", host, KIB)
    for _ in range(2):
        sql(world, edit)
        with begin(world.system, SYSTEM) as unit:
            assert egress.lease(unit, "run_one", "out", host, KIB)
    assert world.facts("egress.TamperFound") == [{"what": "run_one", "code": "egress.way_row"}]
    sql(world, edit)
    egress.close_way(world.system, way, "done")
    (closed,) = world.facts("egress.WayClosed")
    assert closed["granted_bytes"] == 0, "what was lent and not sent was handed back"


@pytest.mark.parametrize("stop", ["spent_at", "muted_at", "closed"])
def test_a_stop_that_was_taken_out_of_its_row_stands(world: World, hub: Sink, stop: str) -> None:
    way, host = world.open(fed=False), f"hub.test:{hub.port}"
    with begin(world.system, SYSTEM) as unit:
        if stop == "spent_at":
            egress.lease(unit, "run_one", "out", host, 10_000 * KIB)
        elif stop == "muted_at":
            assert not egress.charge_output(unit, "run_one", 1 << 40)
    if stop == "closed":
        egress.close_way(world.system, way, "done")
    sql(world, f"UPDATE egress_way SET {stop} = NULL")
    with read(world.system) as unit:
        found = egress.way_of(unit, "run_one")
    assert found is not None and getattr(found, stop) is not None


def test_a_way_whose_row_is_gone_is_closed_on_record_with_what_it_was_lent(world: World, hub: Sink) -> None:
    world.open(fed=False)
    with begin(world.system, SYSTEM) as unit:
        assert egress.lease(unit, "run_one", "out", f"hub.test:{hub.port}", 2 * KIB)
    for table in ("egress_way", "egress_credit", "egress_ledger"):
        sql(world, f"DELETE FROM {table}")
    with begin(world.system, SYSTEM) as unit:
        assert egress.close_lost(unit, "run_one") == 2 * KIB
    (closed,) = world.facts("egress.WayClosed")
    assert closed["sent_bytes"] == 2 * KIB
