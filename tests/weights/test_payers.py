"""What a run loads pays for the run, what a version is made of pays for whoever loads it, and each step costs bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from tests.weights.test_lineage import MODEL, PLOVER, SAVING
from tests.weights.world import LAB, TERN, World, arrays

from weighthouse.access import api as access
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, SECOND, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, TooMany
from weighthouse.core.work import begin, read
from weighthouse.egress import api as egress
from weighthouse.weights import api as weights

STEPS = 16 + 24 + 2 * 8  # a save that was begun, and its commit: with the lengths of a shard and of its index
TWIN = "model/twin"


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    """Beside Tern a huge lesser model and a huge model of Tern's own class, all in one environment."""
    text = LAB.read_text("utf-8")
    model = MODEL.replace("plover", "twin").replace("class: internal", "class: frontier")
    saving = SAVING.replace("plover", "twin").replace(
        "    approval: none\n",
        "    approval:\n      steward: {team: weights-stewards, count: 1}\n      security: {team: security, count: 1}\n",
    )
    saving = saving.replace("default: 8h, longest: 7d, chain: 30d", "default: 1h, longest: 8h")
    for above, added in (("  dataset/stdlib:\n", MODEL + model), ("  wren-train:\n", SAVING + saving)):
        text = text.replace(above, added + above, 1)
    world = World(database, clock, tmp_path, text)
    world.grant("ada", "tern-train")
    world.grant("ada", "plover-save", PLOVER)
    return world


def said(world: World, model: str) -> int:
    with read(world.system) as unit:
        found = next(one for one in egress.budgets(unit) if (one.level, one.name) == ("said", model))
    return next(window.spent for window in found.windows if window.span == HOUR)


def test_a_run_that_was_ordered_for_another_model_has_the_loaded_one_pay(world: World) -> None:
    tern = world.save(world.run("ada", model=TERN))
    before = said(world, TERN), said(world, PLOVER)
    thief = world.run("ada", model=PLOVER)
    world.begin_save(thief, PLOVER)
    assert (said(world, TERN), said(world, PLOVER)) == (before[0], before[1] + 16)
    world.load(thief, tern.id)
    assert (said(world, TERN), said(world, PLOVER)) == (before[0] + 16 + 8, before[1] + 16 + 8)
    assert [fact["model"] for fact in world.facts("egress.PayerJoined")] == [TERN]


def test_a_load_whose_model_could_not_have_paid_releases_no_key(world: World) -> None:
    tern = world.save(world.run("ada", model=TERN))
    thief = world.run("ada", model=PLOVER)
    with begin(world.system) as unit:
        egress.charge_step(unit, thief.attributes["run"], 26 * 1024, model=PLOVER, person="ada")
    before, charged = world.size(), said(world, TERN)
    with pytest.raises(TooMany) as caught:
        world.begin_load(thief, tern.id)
    assert caught.value.code == "egress.payer_spent"
    assert world.since(before) == ["egress.StepRefused"] and said(world, TERN) == charged


def test_a_version_made_of_another_model_has_that_one_pay_wherever_it_is_loaded(world: World) -> None:
    world.grant("ada", "twin-save", TWIN, approvers=("ben", "chi"))
    tern = world.save(world.run("ada", model=TERN))
    launderer = world.run("ada", model=TWIN)
    world.load(launderer, tern.id)
    twin = world.save(launderer, TWIN)
    before = said(world, TERN)
    world.load(world.run("ada", model=TWIN), twin.id)
    assert said(world, TERN) == before + 8


def test_each_version_costs_bytes_whatever_its_size_and_number_until_none_are_left(world: World) -> None:
    run = world.run("ada", model=TERN)
    world.save(run)
    assert said(world, TERN) == STEPS
    with begin(world.system) as unit:
        egress.charge_step(unit, run.attributes["run"], 25_165 - 3 * STEPS, model=TERN, person="ada")
    for seed in range(2):
        world.save(run, seed=seed)
    before = world.size()
    with pytest.raises(TooMany) as caught:
        world.begin_save(run)
    assert caught.value.code == "egress.said_spent" and "hour" in caught.value.remedy
    assert world.since(before) == ["egress.StepRefused"]


def test_the_length_of_each_shard_costs_as_much_as_it_can_spell(world: World) -> None:
    """Whoever sees the storage reads how long each object is, and a save may have a thousand."""
    run = world.run("ada", model=TERN)
    draft = world.begin_save(run, shards=2)
    world.commit(run, draft, draft.write(arrays(), largest=80_000))
    assert said(world, TERN) == STEPS + 8
    with begin(world.system) as unit:
        egress.charge_step(unit, run.attributes["run"], 25_165 - 2 * STEPS - 8, model=TERN, person="ada")
    draft = world.begin_save(run, shards=2)
    envelope, before = draft.write(arrays(2), largest=80_000), world.size()
    with pytest.raises(TooMany) as caught:
        world.commit(run, draft, envelope)
    assert caught.value.code == "egress.said_spent" and world.since(before) == ["egress.StepRefused"]


def test_a_commit_that_nobody_pays_for_is_no_version(world: World) -> None:
    run = world.run("ada", model=TERN)
    draft = world.begin_save(run)
    with begin(world.system) as unit:
        egress.charge_step(unit, run.attributes["run"], 25_150, model=TERN, person="ada")
    envelope = draft.write(arrays())
    before = world.size()
    with pytest.raises(TooMany) as caught:
        world.commit(run, draft, envelope)
    assert caught.value.code == "egress.said_spent"
    assert world.since(before) == ["egress.StepRefused"]
    assert not world.facts("weights.CheckpointSealed")


def test_a_lease_that_is_renewed_at_half_time_costs_nothing_and_sooner_it_does(world: World) -> None:
    run = world.run("ada", model=TERN)
    ticket, _ = world.begin_load(run, world.save(run).id)
    before = said(world, TERN)
    for wait, cost in ((30, 0), (29, 8), (1, 8)):
        world.clock.advance(wait * SECOND)
        with begin(world.system, run) as unit:
            weights.renew(unit, run, ticket.lease)
        before += cost
        assert said(world, TERN) == before, f"after {wait} s of sixty"


def test_a_run_is_bound_to_the_narrowest_grant_that_served_it_first(world: World) -> None:
    world.grant("ada", "tern-load")
    tern = world.save(world.run("ada", model=TERN, grant=_id(world, "tern-train")))
    run = world.run("ada", model=PLOVER)
    world.load(run, tern.id)
    (fact,) = world.facts("access.WorkloadBound")
    assert (fact["workload"], fact["resource"], fact["grant"]) == (run.principal, TERN, _id(world, "tern-load"))
    before = world.size()
    with pytest.raises(Denied) as caught:
        world.begin_save(run)
    assert caught.value.code == "access.run_bound"
    assert world.since(before) == ["access.Denied"]
    world.load(run, tern.id)
    assert len(world.facts("access.WorkloadBound")) == 1


def test_a_row_that_binds_a_run_beforehand_widens_and_hides_nothing(world: World) -> None:
    world.grant("ada", "tern-load")
    tern = world.save(world.run("ada", model=TERN, grant=_id(world, "tern-train")))
    run = world.run("ada", model=PLOVER)
    wide = {"run": run.principal, "model": TERN, "grant": _id(world, "tern-train")}
    with world.system.database.engine.begin() as connection:
        connection.execute(text("INSERT INTO access_binding VALUES (:run, :model, :grant)"), wide)
    world.load(run, tern.id)
    with world.system.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM access_binding"))
    (fact,) = world.facts("access.WorkloadBound")
    assert (fact["workload"], fact["grant"]) == (run.principal, _id(world, "tern-load"))
    with pytest.raises(Denied) as caught:
        world.begin_save(run)
    assert caught.value.code == "access.run_bound"
    with begin(world.system, SYSTEM) as unit:
        access.revoke(unit, world.person("chi"), _id(world, "tern-load"), "Stop this now, please.")
    with read(world.system) as unit:
        assert access.bound_lost(unit, run.principal)


def _id(world: World, entitlement: str) -> str:
    with read(world.system) as unit:
        found = access.grants_of(unit, world.person("ada"))
    return next(one.id for one in found if one.entitlement == entitlement)
