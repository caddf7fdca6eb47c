"""Bytes that leave: debited before, summed over everybody, cut when spent. Real Envoy, real sinks, both databases."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.egress.outside import Sink, ask, dial, greet
from tests.egress.world import World, entry, lab_text
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin, read
from weighthouse.egress import api as egress

KIB = 1024
MIB = 1024 * KIB


def drip(world: World, way: egress.Way, hub: Sink, *, most: int) -> int:
    """Send small pieces to the allowed host while the way is settled at every poll, until cut; return bytes offered."""
    done, before = threading.Event(), hub.received

    def settle() -> None:
        while egress.settle(world.system, way) and not done.wait(0.05):
            pass

    offered = 0
    with dial(way.socket) as connection:
        if ask(connection, f"hub.test:{hub.port}") != 200:
            return 0
        settling = threading.Thread(target=settle)
        settling.start()
        try:
            with greet(connection, "hub.test") as inside:
                while offered < most:
                    inside.sendall(b"w" * KIB)
                    offered += KIB
                while not way.cut_for and not hub.wait_for(before + most, seconds=0.2):
                    pass
        except OSError:
            pass
        done.set()
        settling.join()
    return offered


def settled_until_cut(world: World, way: egress.Way) -> bool:
    """Settle as the feeder does until the way is cut; False if it is still open after a time that is ample."""
    until = time.monotonic() + 30
    while open_ := egress.settle(world.system, way):
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    return not open_


def spent(world: World, level: str, name: str) -> dict[int, int]:
    with read(world.system) as unit:
        found = next(b for b in egress.budgets(unit) if (b.level, b.name) == (level, name))
    return {window.span: window.spent for window in found.windows}


def test_a_drip_to_an_allowed_host_ends_before_the_budget_and_is_one_entry(world: World, hub: Sink) -> None:
    way = world.open()
    offered = drip(world, way, hub, most=32 * MIB)
    assert offered < 32 * MIB and way.cut_for == "egress.budget_spent" and not way.handle.alive()
    assert 0 < hub.received <= 32 * KIB, "an hour may take half of the 64 KiB a day"
    facts = world.facts("egress.BudgetSpent")
    assert [(fact["level"], fact["run"]) for fact in facts] == [("destination", "run_one")]
    assert not egress.settle(world.system, way)
    assert len(world.facts("egress.BudgetSpent")) == 1


def test_egress_case_54_many_runs_that_each_stay_just_below_are_summed(world: World, hub: Sink) -> None:
    ways = [world.open(f"run_{number}") for number in range(4)]
    for way in ways:
        drip(world, way, hub, most=12 * KIB)
        egress.close_way(world.system, way, "done")
    assert hub.received <= 32 * KIB
    assert spent(world, "destination", f"hub.test:{hub.port}")[HOUR] <= 32 * KIB
    assert world.facts("egress.BudgetSpent"), "the sum of the runs met the cap that no single run met"


def test_egress_case_53_a_drip_under_every_hour_meets_the_day_and_one_under_every_day_the_month(
    world: World, hub: Sink, clock: ManualClock
) -> None:
    with begin(world.system, SYSTEM) as unit:
        store_way(unit, "run_slow")
    host, granted = f"hub.test:{hub.port}", []
    for _ in range(45 * 24):
        clock.advance(HOUR + 10 * MINUTE)
        with begin(world.system, SYSTEM) as unit:
            granted.append(egress.lease(unit, "run_slow", "out", host, 2 * KIB))
    hours = [sum(granted[max(0, i - 20) : i + 1]) for i in range(len(granted))]
    assert max(hours) <= 64 * KIB
    month = 30 * 24 * 6 // 7
    assert max(sum(granted[max(0, i - month + 1) : i + 1]) for i in range(len(granted))) <= 640 * KIB
    assert sum(granted) > 64 * KIB
    assert len(world.facts("egress.BudgetSpent")) == 1


def store_way(unit, run: str) -> None:  # type: ignore[no-untyped-def]
    """Put a way into the ledger without a proxy, for sums over weeks."""
    unit.conn.execute(
        text(
            "INSERT INTO egress_way (run, token_digest, profile, model, opened, refused) VALUES (:r, :r, 'out', 'model/tern', 0, 0)"
        ),
        {"r": run},
    )


def test_egress_case_55_a_restart_with_new_runs_and_names_begins_where_the_ledger_stands(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path, hub: Sink
) -> None:
    received = []
    for number in range(3):
        (short / str(number)).mkdir()
        world = World(database, clock, tmp_path, short / str(number))
        try:
            if number == 0:
                world.publish(lab_text([entry("hub.test", hub.port)]))
            way = world.open(f"run_{number}")
            drip(world, way, hub, most=32 * MIB)
            received.append(hub.received)
        finally:
            world.close()  # as after a kill: nothing is handed back, nothing is closed
    assert received[-1] <= 32 * KIB and received[1] == received[2]


def test_egress_case_55_a_clock_set_ahead_empties_no_window(world: World, hub: Sink, clock: ManualClock) -> None:
    drip(world, world.open("run_a"), hub, most=32 * MIB)
    before = hub.received
    clock.set(clock.now() + 31 * DAY)
    way = world.open("run_b")
    assert drip(world, way, hub, most=64 * KIB) == 0 and hub.received == before


def test_egress_case_55_a_ledger_that_is_gone_cuts_the_way(world: World, hub: Sink, database: Database) -> None:
    way = world.open()
    with dial(way.socket) as connection:
        assert ask(connection, f"hub.test:{hub.port}") == 200
        with greet(connection, "hub.test") as inside:
            inside.sendall(b"x" * KIB)
            assert hub.wait_for(KIB)
            assert egress.settle(
                world.system, way
            )  # fed now, so that the next byte is not stopped for another reason
            with database.engine.connect() as outage:
                outage.execute(text("ALTER TABLE egress_ledger RENAME TO gone"))
                outage.commit()
            inside.sendall(b"y" * 20 * KIB)  # more than is lent by now: what is lent was debited when it was
            assert settled_until_cut(world, way), "what has gone out is read, and cannot be debited"
            assert not way.handle.alive() and way.cut_for.startswith(("core.database_", "egress.ledger_"))
            with database.engine.connect() as outage:
                outage.execute(text("ALTER TABLE gone RENAME TO egress_ledger"))
                outage.commit()


def test_a_proxy_that_cannot_be_counted_is_cut(world: World) -> None:
    way = world.open()
    os.kill(way.handle.pids[-1], signal.SIGKILL)
    assert settled_until_cut(world, way)
    assert way.cut_for == "egress.uncounted" and not way.handle.alive()


def test_what_was_lent_and_not_used_goes_back_and_no_window_gains(world: World, hub: Sink) -> None:
    way = world.open()
    drip(world, way, hub, most=2 * KIB)
    egress.close_way(world.system, way, "done")
    left = spent(world, "lab", "example-lab")
    assert 2 * KIB < left[HOUR] < 4 * KIB and left[HOUR] == left[DAY]
    closed = world.facts("egress.WayClosed")[0]
    assert closed["granted_bytes"] == closed["sent_bytes"] == left[HOUR]


@pytest.fixture
def any_world(any_database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[World]:
    made = World(any_database, clock, tmp_path, short)
    made.publish(lab_text([entry("hub.test", 443)]))
    yield made
    made.close()


def test_on_both_databases_a_lease_debits_every_account_or_none(any_world: World) -> None:
    with begin(any_world.system, SYSTEM) as unit:
        store_way(unit, "run_x")
    with begin(any_world.system, SYSTEM) as unit:
        assert egress.lease(unit, "run_x", "out", "hub.test:443", 20 * KIB) == 20 * KIB
        assert egress.lease(unit, "run_x", "out", "hub.test:443", 20 * KIB) == 0
    for level, name in (
        ("lab", "example-lab"),
        ("model", "model/tern"),
        ("profile", "out"),
        ("destination", "hub.test:443"),
    ):
        assert spent(any_world, level, name)[HOUR] == 20 * KIB


def test_on_both_databases_leases_at_one_instant_never_lend_one_byte_twice(
    any_world: World, at_once: Callable[[list[Callable[[], int]]], list[int]]
) -> None:
    with begin(any_world.system, SYSTEM) as unit:
        for number in range(8):
            store_way(unit, f"run_{number}")

    def take(run: str) -> int:
        with begin(any_world.system, SYSTEM) as unit:
            return egress.lease(unit, run, "out", "hub.test:443", 8 * KIB)

    granted = at_once([lambda run=f"run_{number}": take(run) for number in range(8)])  # type: ignore[misc]
    assert sum(granted) == 32 * KIB
