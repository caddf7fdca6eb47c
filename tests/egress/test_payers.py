"""Every model that a run was given pays for what leaves the run, for what left before it came too, and is handed back."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.egress.outside import Sink
from tests.egress.test_budgets import spent
from tests.egress.test_said import say
from tests.egress.world import World
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, MINUTE
from weighthouse.core.errors import TooMany
from weighthouse.core.work import begin, read
from weighthouse.egress import api as egress

KIB = 1024
TERN, WREN = "model/tern", "model/wren"  # in an hour a run may say 25 KiB of the one and 6 of the other


def join(world: World, run: str, *models: str) -> None:
    with begin(world.system, SYSTEM) as unit:
        egress.join(unit, run, models)


def lend(world: World, hub: Sink, run: str, count: int) -> None:
    with begin(world.system, SYSTEM) as unit:
        assert egress.lease(unit, run, "out", f"hub.test:{hub.port}", count)


def test_a_run_ordered_for_a_large_model_says_no_more_of_a_small_one_that_it_loads(world: World) -> None:
    world.open("run_one", profile="none", model=TERN)
    join(world, "run_one", WREN)
    assert say(world, "run_one", 6 * KIB) and not say(world, "run_one", KIB)
    fact = world.facts("egress.OutputSpent")[0]
    assert (fact["level"], fact["account"]) == ("said by run", "run_one")
    assert spent(world, "said", WREN)[HOUR] == spent(world, "said", TERN)[HOUR] == 6 * KIB
    assert spent(world, "model", WREN)[HOUR] == spent(world, "model", TERN)[HOUR] == 6 * KIB


def test_many_runs_ordered_for_the_large_one_meet_the_small_ones_share(world: World) -> None:
    for number in range(5):
        world.open(f"run_{number}", profile="none", model=TERN)
        join(world, f"run_{number}", WREN)
    assert [say(world, f"run_{number}", 5 * KIB) for number in range(5)] == [True, True, False, False, False]
    spent_facts = world.facts("egress.OutputSpent")
    assert {(fact["model"], fact["account"]) for fact in spent_facts} == {(WREN, f"eve of {WREN}")}
    assert WREN in {fact["model"] for fact in world.facts("egress.OutputHigh")}


def test_what_was_said_before_a_load_is_charged_to_what_is_loaded(world: World) -> None:
    world.open("run_one", profile="none", model=TERN)
    assert say(world, "run_one", 4 * KIB)
    world.system.clock.advance(20 * MINUTE)  # type: ignore[attr-defined]
    join(world, "run_one", WREN)
    assert spent(world, "said", WREN) == {HOUR: 4 * KIB, DAY: 4 * KIB, 30 * DAY: 4 * KIB}
    assert [fact["said_bytes"] for fact in world.facts("egress.PayerJoined")] == [4 * KIB]
    world.system.clock.advance(50 * MINUTE)  # type: ignore[attr-defined]
    assert spent(world, "said", WREN)[HOUR] == 0, "it was said when it was said"
    join(world, "run_one", WREN)
    assert len(world.facts("egress.PayerJoined")) == 1


def test_a_load_that_could_not_pay_for_what_was_said_before_is_refused_with_one_line(world: World) -> None:
    world.open("run_one", profile="none", model=TERN)
    assert say(world, "run_one", 10 * KIB)
    with pytest.raises(TooMany) as caught:
        join(world, "run_one", WREN)
    assert caught.value.code == "egress.payer_spent" and "run of its own" in caught.value.remedy
    lines = world.facts("egress.StepRefused")
    assert [(one["code"], one["model"], one["bytes"]) for one in lines] == [("egress.payer_spent", WREN, 10 * KIB)]
    assert spent(world, "said", WREN)[HOUR] == 0 and not world.facts("egress.PayerJoined")


def test_the_budget_of_others_who_said_much_refuses_it_too(world: World) -> None:
    for number in range(2):
        world.open(f"run_{number}", profile="none", model=WREN)
        assert say(world, f"run_{number}", 6 * KIB)
    world.open("run_one", profile="none", model=TERN)
    assert say(world, "run_one", KIB)
    with pytest.raises(TooMany):
        join(world, "run_one", WREN)
    assert [one["account"] for one in world.facts("egress.StepRefused")] == [f"eve of {WREN}"]


def test_credit_lent_before_between_and_after_loads_is_handed_back_to_whom_it_was_charged(
    world: World, hub: Sink
) -> None:
    way = world.open("run_one", model=TERN, fed=False)
    lend(world, hub, "run_one", 8 * KIB)
    join(world, "run_one", WREN)
    assert spent(world, "model", WREN)[HOUR] == spent(world, "model", TERN)[HOUR] == 8 * KIB
    lend(world, hub, "run_one", 4 * KIB)
    assert spent(world, "model", WREN)[HOUR] == spent(world, "model", TERN)[HOUR] == 12 * KIB
    egress.close_way(world.system, way, "the run ended")
    found = [spent(world, level, name)[DAY] for level, name in (("model", WREN), ("model", TERN), ("profile", "out"))]
    assert found == [0, 0, 0], "nothing was sent, so all of them have all of it again, and no more"


def test_credit_of_an_earlier_bucket_moved_into_the_latest_and_comes_back_to_all(world: World, hub: Sink) -> None:
    way = world.open("run_one", model=TERN, fed=False)
    lend(world, hub, "run_one", 8 * KIB)
    world.system.clock.advance(10 * MINUTE)  # type: ignore[attr-defined]
    lend(world, hub, "run_one", 4 * KIB)
    join(world, "run_one", WREN)
    assert spent(world, "model", WREN)[DAY] == spent(world, "model", TERN)[DAY] == 12 * KIB
    egress.close_way(world.system, way, "the run ended")
    assert spent(world, "model", WREN)[DAY] == spent(world, "model", TERN)[DAY] == 0


def test_no_edited_row_takes_a_payer_away(world: World) -> None:
    world.open("run_one", profile="none", model=WREN)
    join(world, "run_one", TERN)
    with world.system.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM egress_payer"))
        connection.execute(text("UPDATE egress_way SET model = 'model/tern'"))
    with read(world.system) as unit:
        assert egress.models_of(unit, "run_one") == (TERN, WREN)


def test_a_payers_row_put_there_before_the_load_and_removed_after_it_spares_nobody(world: World) -> None:
    world.open("run_one", profile="none", model=TERN)
    assert say(world, "run_one", 4 * KIB)
    with world.system.database.engine.begin() as connection:
        connection.execute(text("INSERT INTO egress_payer VALUES ('run_one', 'model/wren')"))
    join(world, "run_one", WREN)
    with world.system.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM egress_payer"))
    assert spent(world, "said", WREN)[HOUR] == 4 * KIB
    assert len(world.facts("egress.PayerJoined")) == 1
    assert say(world, "run_one", 2 * KIB) and spent(world, "said", WREN)[HOUR] == 6 * KIB


def test_a_step_that_could_not_be_paid_for_is_refused_and_less_may_still_be_said(world: World) -> None:
    world.open("run_one", profile="none", model=WREN)
    assert say(world, "run_one", 6 * KIB + 120)
    with pytest.raises(TooMany) as caught:
        charge(world, 32)
    assert caught.value.code == "egress.said_spent"
    assert [one["code"] for one in world.facts("egress.StepRefused")] == ["egress.said_spent"]
    charge(world, 16)
    assert say(world, "run_one", 1) and not world.facts("egress.OutputSpent")


def charge(world: World, count: int) -> None:
    with begin(world.system, SYSTEM) as unit:
        egress.charge_step(unit, "run_one", count, model=WREN, person="eve")
