"""Credit of runs one after another, beside one another, and over time: all of a cap is of use, and no more ever leaves.

The first tests send over real Envoy and forwarders. Those over days send into a stand-in that keeps a forwarder's
promise, and nothing but it: never more than was granted, and what it holds it may send at any later time.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.egress.outside import Sink, ask, dial, greet
from tests.egress.test_budgets import spent
from tests.egress.world import World, entry, lab_text
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, Millis
from weighthouse.core.database import Database
from weighthouse.core.work import begin
from weighthouse.egress import api as egress
from weighthouse.egress.api import ways
from weighthouse.egress.ports import Count, Proxy, ProxySpec

KIB = 1024
CAPS = {HOUR: 32 * KIB, DAY: 64 * KIB, 30 * DAY: 640 * KIB}  # of an entry with 64 KiB a day
HOST = "hub.test:443"


def sent_of(world: World) -> int:
    return sum(way.handle.count().sent.get(way_name(way), 0) for way in world.ways if way.handle.alive())


def way_name(way: egress.Way) -> str:
    return next(iter(way.handle.count().sent))


def test_runs_one_after_another_use_an_hours_cap_to_nearly_its_end(world: World, hub: Sink) -> None:
    lasted = 0
    for number in range(64):
        way = world.open(f"run_{number}")
        with dial(way.socket) as connection:
            if ask(connection, f"hub.test:{hub.port}") == 200:
                with greet(connection, "hub.test") as inside:
                    inside.sendall(b"w" * KIB)
                    hub.wait_for((number + 1) * KIB, seconds=2)
        egress.close_way(world.system, way, "the run ended")
        if world.facts("egress.BudgetSpent"):
            break
        lasted += 1
    assert lasted >= 12, "each run costs its greeting beside its kibibyte"
    assert 29 * KIB <= spent(world, "destination", f"hub.test:{hub.port}")[HOUR] <= 32 * KIB


def test_runs_beside_one_another_are_not_refused_for_what_the_others_do_not_use(
    world: World, hub: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = ("destination", f"hub.test:{hub.port}")
    with ExitStack() as stack:

        def greeted(way: egress.Way) -> ssl.SSLSocket:
            connection = stack.enter_context(dial(way.socket))
            assert ask(connection, account[1]) == 200
            return stack.enter_context(greet(connection, "hub.test"))

        inside = [greeted(world.open(f"run_{number}")) for number in range(6)]
        unfed = [0] * 6
        lent, used = spent(world, *account)[HOUR], sent_of(world)
        monkeypatch.setattr(ways, "IDLE_S", 0.5)
        deadline = time.monotonic() + 30
        while spent(world, *account)[HOUR] > used + 6 * KIB and time.monotonic() < deadline:
            time.sleep(0.1)
        assert spent(world, *account)[HOUR] <= used + 6 * KIB < lent, "what lay unused came back by itself"
        for one in inside:
            with suppress(OSError):
                one.sendall(b"w" * 2 * KIB)
        deadline = time.monotonic() + 30
        while not hub.wait_for(12 * KIB, seconds=0.5) and time.monotonic() < deadline:
            for number, way in enumerate(world.ways):
                if way.unfed > unfed[number]:  # this machine was too busy to feed it in time, so it closed
                    unfed[number] = way.unfed
                    greeted(way).sendall(b"w" * 2 * KIB)
        assert hub.wait_for(12 * KIB, seconds=0) and not world.facts("egress.BudgetSpent")
        assert all(not way.cut_for for way in world.ways)


class Outlet:
    """What a forwarder promises, without a process: it takes in no more than was granted, and may hold it."""

    def __init__(self, spec: ProxySpec, clock: ManualClock, record: list[tuple[Millis, int]]) -> None:
        self._names = [f"{one.host}:{one.port}" for one in spec.destinations]
        self._clock, self._record = clock, record
        self.granted = self.sent = self.held = 0
        self.pids: tuple[int, ...] = ()
        self.ended = False

    def take(self, count: int) -> None:
        self.held += min(count, max(0, self.granted - self.sent - self.held))

    def give(self, count: int) -> None:
        count = min(count, self.held)
        self.held, self.sent = self.held - count, self.sent + count
        self._record.append((self._clock.now(), count))

    def count(self) -> Count:
        return Count(
            sent=dict.fromkeys(self._names, self.sent),
            held=dict.fromkeys(self._names, self.held),
            made=dict.fromkeys(self._names, 0),
            unfed=0,
        )

    def feed(self, granted: Mapping[str, int], told: Mapping[str, int]) -> None:
        self.granted = sum(granted.values())

    def wait(self, timeout_ms: int) -> None:
        raise AssertionError("the test settles itself")

    def alive(self) -> bool:
        return not self.ended

    def cut(self) -> None:
        self.ended = True


class Outlets:
    digest = "stand-in"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.record: list[tuple[Millis, int]] = []

    def resolve(self, host: str, port: int) -> tuple[str, ...]:
        return ()

    def start(self, spec: ProxySpec) -> Outlet:
        return Outlet(spec, self._clock, self.record)


@pytest.fixture
def outlets(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[World, Outlets]]:
    monkeypatch.setattr(ways, "IDLE_S", 0.0)
    made, proxy = World(database, clock, tmp_path, short), Outlets(clock)
    made.system.bind(Proxy, proxy)
    made.publish(lab_text([entry("hub.test", 443)]))
    yield made, proxy
    made.close()


def greeted(world: World, run: str) -> egress.Way:
    """A way out that was let through to the hub, and so was lent something."""
    way = world.open(run, fed=False)
    with begin(world.system, SYSTEM) as unit:
        egress.verdict(unit, run, "out", "hub.test", 443)
    egress.settle(world.system, way)
    return way


def flood(world: World, way: egress.Way, most: int) -> None:
    """Send as fast as is lent, until nothing more is, or the way is cut."""
    outlet = way.handle
    assert isinstance(outlet, Outlet)
    for _ in range(most // KIB):
        outlet.take(KIB)
        outlet.give(KIB)
        if not egress.settle(world.system, way):
            return


def most_within(record: list[tuple[Millis, int]], span: Millis) -> int:
    """The most that left within any stretch of time of that length."""
    return max(sum(count for at, count in record if end - span < at <= end) for end, _ in record)


@pytest.mark.parametrize("span", [HOUR, DAY])
def test_at_no_boundary_does_credit_kept_from_before_leave_beside_what_is_lent_after(
    outlets: tuple[World, Outlets], span: Millis, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, proxy = outlets
    monkeypatch.setattr(ways, "IDLE_S", 600.0)  # so that it may hold all of it, before it would be taken back
    hoarding = [greeted(world, f"run_{number}") for number in range(14)]
    for way in hoarding:
        outlet = way.handle
        assert isinstance(outlet, Outlet)
        outlet.take(32 * KIB)  # all that was lent is held, by a receiver who takes it whenever that is of use
    held = sum(way.handle.count().held[HOST] for way in hoarding)
    assert held > 24 * KIB
    for wait in (span // 2, span // 2 + 6 * MINUTE):  # every debit of the beginning has left the window
        clock.advance(wait)
        for way in hoarding:
            egress.settle(world.system, way)
    for way in hoarding:
        outlet = way.handle
        assert isinstance(outlet, Outlet)
        outlet.give(32 * KIB)
    flood(world, greeted(world, "run_after"), 64 * KIB)
    assert sum(count for _, count in proxy.record) <= CAPS[HOUR]


@pytest.mark.parametrize("seed", range(2))
def test_whenever_runs_send_hold_and_wait_no_window_ever_carries_more_than_its_cap(
    outlets: tuple[World, Outlets], clock: ManualClock, seed: int
) -> None:
    world, proxy = outlets
    chance, runs = random.Random(seed), 0
    waits = (SECOND, MINUTE, 5 * MINUTE, 59 * MINUTE, HOUR, HOUR + SECOND, 7 * HOUR, DAY, DAY + MINUTE, 5 * DAY)
    for _ in range(30):
        for way in [way for way in world.ways if not way.cut_for]:
            outlet = way.handle
            assert isinstance(outlet, Outlet)
            outlet.take(chance.choice((0, 600, 40 * KIB)))
            outlet.give(chance.choice((0, 600, 40 * KIB)))
            egress.settle(world.system, way)
            if chance.random() < 0.2:
                flood(world, way, chance.choice((2, 8, 40)) * KIB)
        if sum(not way.cut_for for way in world.ways) < 4:
            runs += 1
            greeted(world, f"run_{runs}")
        for way in world.ways[: chance.choice((0, 0, 1))]:
            egress.close_way(world.system, way, "the run ended")
            world.ways.remove(way)
        clock.advance(chance.choice(waits))
        for way in world.ways:
            egress.settle(world.system, way)
    for span, cap in CAPS.items():
        assert most_within(proxy.record, span) <= cap, span
    assert sum(count for _, count in proxy.record) > 2 * CAPS[HOUR], "and yet they did send"
