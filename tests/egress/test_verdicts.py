"""Thefts through the way out, each stopped by the real proxy with exactly one entry in the log."""

from __future__ import annotations

import pytest

from tests.egress.outside import Sink, ask, connect, dial, greet, head
from tests.egress.test_budgets import settled_until_cut
from tests.egress.world import World, day, entry, lab_text
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.work import begin
from weighthouse.egress import api as egress
from weighthouse.egress.adapters.envoy import Envoy
from weighthouse.egress.api.paying import payers
from weighthouse.egress.model import Key


def test_a_listed_host_is_reached_and_the_connection_is_one_entry(world: World, hub: Sink) -> None:
    way = world.open()
    with dial(way.socket) as connection:
        assert ask(connection, f"hub.test:{hub.port}") == 200
        with greet(connection, "hub.test") as inside:
            inside.sendall(b"hello")
            assert hub.wait_for(5)
    assert world.facts("egress.Refused") == []
    assert world.facts("egress.Connected") == [
        {"run": "run_one", "profile": "out", "host": "hub.test", "port": hub.port}
    ]


@pytest.mark.parametrize(
    ("authority", "code"),
    [
        ("evil.test:443", "egress.unknown_host"),
        ("hub.test.evil.test:443", "egress.unknown_host"),
        ("hub.test:22", "egress.unknown_port"),
        ("127.0.0.1:443", "egress.ip_literal"),
        ("2130706433:443", "egress.ip_literal"),
        ("0x7f000001:443", "egress.ip_literal"),
        ("0177.0.0.1:443", "egress.ip_literal"),
        ("127.1:443", "egress.ip_literal"),
        ("[::1]:443", "egress.ip_literal"),
        ("[::ffff:127.0.0.1]:443", "egress.ip_literal"),
        ("169.254.169.254:80", "egress.ip_literal"),
    ],
)
def test_egress_case_48_what_is_not_listed_is_refused_in_every_notation(
    world: World, hub: Sink, authority: str, code: str
) -> None:
    way = world.open()
    assert connect(way.socket, authority) == 403
    assert [fact["code"] for fact in world.facts("egress.Refused")] == [code]
    assert hub.connections == 0 and world.facts("egress.Connected") == []


@pytest.mark.parametrize("spelling", ["HUB.test", "hub.test.", "Hub.TEST."])
def test_egress_case_48_another_spelling_is_the_same_host_and_gains_nothing(
    world: World, hub: Sink, spelling: str
) -> None:
    way = world.open()
    with dial(way.socket) as connection:
        if ask(connection, f"{spelling}:{hub.port}") == 200:
            with pytest.raises(OSError):
                greet(connection, "evil.test")
    assert hub.received == hub.connections == 0 and world.facts("egress.Connected") == []


def test_egress_case_47_an_inner_name_that_differs_is_one_entry_and_no_byte(world: World, hub: Sink) -> None:
    way = world.open()
    with dial(way.socket) as connection:
        assert ask(connection, f"hub.test:{hub.port}") == 200
        with pytest.raises(OSError):
            greet(connection, "evil.test")
    refused = world.facts("egress.Refused")
    assert [(fact["code"], fact["host"], fact["inside"]) for fact in refused] == [
        ("egress.name_differs", "hub.test", "evil.test")
    ]
    assert hub.received == 0 and sum(way.handle.count().sent.values()) == 0


def test_egress_case_49_a_listed_name_that_leads_to_this_machine_is_not_followed(world: World, hub: Sink) -> None:
    world.publish(lab_text([entry("localhost", hub.port, address=None)]))
    way = world.open()
    assert world.facts("egress.WayOpened")[0]["unresolved"] == [f"localhost:{hub.port}"]
    assert connect(way.socket, f"localhost:{hub.port}") == 403
    assert [fact["code"] for fact in world.facts("egress.Refused")] == ["egress.leads_inside"]
    assert hub.connections == 0


def test_an_entry_that_expired_while_the_way_was_open_is_refused(world: World, hub: Sink, clock: ManualClock) -> None:
    world.publish(lab_text([entry("hub.test", hub.port, expires=day(2, clock.now()))]))
    way = world.open()
    assert connect(way.socket, f"hub.test:{hub.port}") == 200
    clock.advance(3 * DAY)
    assert connect(way.socket, f"hub.test:{hub.port}") == 403
    assert [fact["code"] for fact in world.facts("egress.Refused")] == ["egress.entry_expired"]


def test_the_last_day_of_an_entry_is_allowed_to_its_end(world: World, hub: Sink, clock: ManualClock) -> None:
    world.publish(lab_text([entry("hub.test", hub.port, expires=day(0, clock.now()))]))
    way = world.open()
    over = (clock.now() // DAY + 1) * DAY
    clock.advance(over - 1 - clock.now())
    assert connect(way.socket, f"hub.test:{hub.port}") == 200
    assert world.facts("egress.Refused") == []
    clock.advance(1)
    assert connect(way.socket, f"hub.test:{hub.port}") == 403
    assert [fact["code"] for fact in world.facts("egress.Refused")] == ["egress.entry_expired"]


def test_a_way_leads_to_an_entry_on_its_last_day_and_not_after_it(
    world: World, hub: Sink, clock: ManualClock
) -> None:
    world.publish(lab_text([entry("hub.test", hub.port, expires=day(0, clock.now()))]))
    clock.advance((clock.now() // DAY + 1) * DAY - 1 - clock.now())
    world.open()
    clock.advance(1)
    world.open("run_later")
    assert [fact["destinations"] for fact in world.facts("egress.WayOpened")] == [[f"hub.test:{hub.port}"], []]


def test_an_entry_has_its_budget_to_the_end_of_its_last_day(world: World, hub: Sink, clock: ManualClock) -> None:
    world.publish(lab_text([entry("hub.test", hub.port, expires=day(0, clock.now()))]))
    row, destination = egress.WayRow(run="r", profile="out", model="model/tern", opened=0), f"hub.test:{hub.port}"
    account, over = Key("destination", destination), (clock.now() // DAY + 1) * DAY
    clock.advance(over - 1 - clock.now())
    with begin(world.system, SYSTEM) as unit:
        assert payers(unit, row, destination)[account] == 64 * 1024
    clock.advance(1)
    with begin(world.system, SYSTEM) as unit:
        assert payers(unit, row, destination)[account] == 0


def test_an_entry_that_left_the_policy_is_refused_at_the_next_connection(world: World, hub: Sink) -> None:
    way = world.open()
    world.publish(lab_text([entry("other.test", 443)]))
    assert connect(way.socket, f"hub.test:{hub.port}") == 403
    assert [fact["code"] for fact in world.facts("egress.Refused")] == ["egress.unknown_host"]


def test_egress_case_57_a_tunnel_that_was_opened_before_its_entry_ended_carries_nothing_after_it(
    world: World, hub: Sink, clock: ManualClock
) -> None:
    world.publish(lab_text([entry("hub.test", hub.port, expires=day(2, clock.now()))]))
    way = world.open()
    with dial(way.socket) as connection:
        assert ask(connection, f"hub.test:{hub.port}") == 200
        with greet(connection, "hub.test") as inside:
            inside.sendall(b"before")
            assert hub.wait_for(6) and egress.settle(world.system, way)
            clock.advance(3 * DAY)
            assert egress.settle(world.system, way), "what is idle may stay"
            inside.sendall(b"after")
            assert settled_until_cut(world, way)
    assert way.cut_for == "egress.entry_expired" and not way.handle.alive()


def test_a_run_that_connects_without_end_is_cut_and_cannot_fill_the_log(
    database, clock, tmp_path, short, hub
) -> None:  # type: ignore[no-untyped-def]
    world = World(database, clock, tmp_path, short, **{"egress.max_connections": 4})
    try:
        world.publish(lab_text([entry("hub.test", hub.port)]))
        way = world.open(fed=False)
        answers = [connect(way.socket, f"hub.test:{hub.port}") for _ in range(7)]
        assert answers == [200] * 4 + [403] * 3
        assert world.facts("egress.Connected") == world.facts("egress.Refused") == []
        assert not egress.settle(world.system, way)
        assert way.cut_for == "egress.too_many_connections" and not way.handle.alive()
    finally:
        world.close()


def test_a_connection_is_on_record_once_it_was_made_and_not_before(world: World, hub: Sink) -> None:
    way = world.open()
    assert connect(way.socket, f"hub.test:{hub.port}") == 200
    for verb in (b"GET / HTTP/1.1", b"POST / HTTP/1.1"):
        with dial(way.socket) as connection:
            connection.sendall(verb + f"\r\nHost: hub.test:{hub.port}\r\n\r\n".encode())
            assert head(connection) == 403
    assert world.facts("egress.Connected") == [] and hub.connections == 0
    codes = [(fact["code"], fact["host"]) for fact in world.facts("egress.Refused")]
    assert codes == [("egress.not_a_tunnel", "hub.test")] * len(codes) and codes
    with dial(way.socket) as connection:
        assert ask(connection, f"hub.test:{hub.port}") == 200
        with greet(connection, "hub.test"):
            assert len(world.facts("egress.Connected")) == hub.connections == 1


def test_a_slow_resolver_holds_up_nobody_elses_changes(
    world: World, hub: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish(lab_text([entry("slow.test", hub.port, address=None)]))
    asked: list[str] = []

    def resolve(_proxy: Envoy, host: str, port: int) -> tuple[str, ...]:
        with begin(world.system, SYSTEM) as unit:  # a change of somebody else, while the name is being resolved
            egress.tidy(unit)
        asked.append(host)
        return ()

    monkeypatch.setattr(Envoy, "resolve", resolve)
    world.open()
    assert asked == ["slow.test"]


def test_a_profile_of_nothing_leads_nowhere(world: World, hub: Sink) -> None:
    way = world.open(profile="none")
    assert connect(way.socket, f"hub.test:{hub.port}") == 403
    assert hub.connections == 0


def test_a_run_that_keeps_knocking_is_cut_and_cannot_fill_the_log(database, clock, tmp_path, short, hub) -> None:  # type: ignore[no-untyped-def]
    world = World(database, clock, tmp_path, short, **{"egress.max_refusals": 5})
    try:
        world.publish(lab_text([entry("hub.test", hub.port)]))
        way = world.open(fed=False)
        for number in range(9):
            assert connect(way.socket, f"evil{number}.test:443") == 403
        assert len(world.facts("egress.Refused")) == 5
        assert not egress.settle(world.system, way)
        assert way.cut_for == "egress.too_many_refusals" and not way.handle.alive()
    finally:
        world.close()


def test_a_token_of_no_way_and_a_closed_way_get_no_verdict(world: World, hub: Sink) -> None:
    way = world.open()
    egress.close_way(world.system, way, "the run ended")
    with begin(world.system, SYSTEM) as unit:
        said = egress.verdict(unit, "run_one", "out", "hub.test", hub.port)
    assert (said.allowed, said.code) == (False, "egress.way_closed")
    closed = world.facts("egress.WayClosed")
    assert [fact["reason"] for fact in closed] == ["the run ended"]
