"""What runs say (output, reports, names) is a way out: a share of the model, by run, person and profile, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.egress.outside import Sink, connect
from tests.egress.world import LAB, World, entry, lab_text
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.work import begin, read
from weighthouse.egress import api as egress
from weighthouse.egress import store
from weighthouse.egress.model import Key
from weighthouse.egress.rules import budgets as rules
from weighthouse.policy import api as policy

KIB = 1024
MIB = 1024 * KIB
LONG = "a1" * 30 + "."


@pytest.fixture
def small(database: Database, clock: ManualClock, tmp_path: Path, short: Path, hub: Sink) -> Iterator[World]:
    """Tern may lose 64 KiB a day: 32 said in all, 16 by a person, 8 by a run; an hour allows half of each."""
    made = World(database, clock, tmp_path, short, **{"egress.model_daily_bytes": 64 * KIB})
    made.publish(lab_text([entry("hub.test", hub.port)]))
    yield made
    made.close()


def say(world: World, run: str, count: int) -> bool:
    with begin(world.system, SYSTEM) as unit:
        return egress.charge_output(unit, run, count)


def test_egress_case_56_one_run_may_say_a_quarter_and_then_stays_mute(small: World) -> None:
    small.open("run_one", profile="none")
    assert say(small, "run_one", 4 * KIB) and not say(small, "run_one", 1)
    assert not say(small, "run_one", 0), "once it is mute it stays mute"
    spent = small.facts("egress.OutputSpent")
    assert [(fact["level"], fact["account"], fact["person"]) for fact in spent] == [("said by run", "run_one", "eve")]


def test_egress_case_54_many_runs_of_one_person_share_a_persons_part(small: World) -> None:
    runs = [f"run_{number}" for number in range(5)]
    for run in runs:
        small.open(run, profile="none")
    assert [say(small, run, 3 * KIB) for run in runs] == [True, True, False, False, False]
    levels = {(fact["level"], fact["account"]) for fact in small.facts("egress.OutputSpent")}
    assert levels == {("said by person", "eve of model/tern")}
    assert [fact["person"] for fact in small.facts("egress.OutputHigh")] == ["eve"], "half of an hour is told once"


def test_egress_case_54_many_people_share_the_models_part_whatever_their_profile(small: World) -> None:
    people = [f"p{number}" for number in range(6)]
    for number, person in enumerate(people):
        small.open(f"run_{person}", profile=("none", "out")[number % 2], person=person)
    assert [say(small, f"run_{person}", 4 * KIB) for person in people] == [True] * 4 + [False] * 2
    assert {fact["level"] for fact in small.facts("egress.OutputSpent")} == {"said"}
    for number in range(3):
        small.open(f"run_late_{number}", profile="none", person="late")
        assert not say(small, f"run_late_{number}", KIB), "a new run and a new person begin where the ledger stands"


def test_a_profile_of_nothing_has_its_own_sum(small: World) -> None:
    small.open("run_one", profile="none")
    assert say(small, "run_one", KIB)
    with read(small.system) as unit:
        spent = store.spent(unit.conn, Key("said by profile", "none of model/tern"), unit.now)
    assert spent == {HOUR: KIB, DAY: KIB, 30 * DAY: KIB}


def test_what_is_said_counts_against_the_same_bytes_as_what_is_sent(small: World, hub: Sink) -> None:
    small.open("run_one")
    with begin(small.system, SYSTEM) as unit:
        assert egress.lease(unit, "run_one", "out", f"hub.test:{hub.port}", 30 * KIB)
    assert not say(small, "run_one", 3 * KIB)
    assert [fact["level"] for fact in small.facts("egress.OutputSpent")] == ["model"]


def test_refused_names_are_told_once_bounded_cut_and_charged(small: World) -> None:
    way = small.open("run_one")
    names = [f"{number}.{LONG * 4}test"[:251] for number in range(40)]
    for name in names + names[:5]:
        assert connect(way.socket, f"{name}:443") == 403
    told = small.facts("egress.Refused")
    assert len(told) == 16 and all(len(fact["host"]) <= 57 for fact in told)
    assert len({fact["host"] for fact in told}) == 16, "a digest tells cut names apart"
    with read(small.system) as unit:
        charged = store.spent(unit.conn, Key("said by run", "run_one"), unit.now)[HOUR]
    assert charged == sum(len(fact["host"]) + 8 for fact in told)
    egress.close_way(small.system, way, "the run ended")
    assert small.facts("egress.WayClosed")[0]["refused"] == 45, "the others are counted"


def test_a_run_that_has_said_too_much_has_its_names_left_out(small: World) -> None:
    way = small.open("run_one")
    assert say(small, "run_one", 4 * KIB) and not say(small, "run_one", 1)
    assert connect(way.socket, "spelling.weights.test:443") == 403
    assert [(fact["host"], fact["code"]) for fact in small.facts("egress.Refused")] == [("", "egress.unknown_host")]


@given(st.integers(1, 2**50), st.integers(1, 1000), st.integers(1, 1000))
def test_a_models_own_share_always_holds_and_one_byte_more_does_not(size: int, compression: int, hours: int) -> None:
    daily = rules.holding(size, compression, hours * HOUR)
    assert rules.holds(size, daily, compression, hours * HOUR)
    assert not rules.holds(size, daily + 1, compression, hours * HOUR)
    share = rules.shares(daily, 50)
    assert share["said by run"] <= share["said by person"] <= share["said"] <= daily


def faults(lab: policy.Lab, **flags: int) -> dict[str, str]:
    settings = Settings((*DECLARED, *egress.settings), flags={"mode": "development", **flags})
    return {one.model: one.remedy for one in egress.unheld(settings, lab)}


def test_the_example_lab_holds_and_a_cap_in_bytes_is_named_with_what_would() -> None:
    lab = policy.parse(LAB.read_text("utf-8"), "lab.yaml")
    assert faults(lab) == {}
    named = faults(lab, **{"egress.model_daily_bytes": 1024 * MIB})
    assert set(named) == {"model/tern", "model/wren"} and "at most 100663" in named["model/wren"]
    assert faults(lab, **{"egress.model_daily_bytes": 100663}) == {}
    unsized = policy.parse(LAB.read_text("utf-8").replace("    size: 4MiB\n", ""), "lab.yaml")
    assert set(faults(unsized)) == {"model/wren"}


def test_the_page_says_what_a_model_is_held_against(world: World) -> None:
    with read(world.system) as unit:
        found = {(one.level, one.name): one for one in egress.budgets(unit)}
    wren = found["model", "model/wren"]
    assert (wren.holds, wren.respond, wren.daily) == (True, HOUR, 4 * MIB * 24 // 1000)
    assert wren.theft_of_whole is not None and wren.theft_of_whole >= 10 * HOUR
    assert found["said", "model/wren"].daily == wren.daily // 2
