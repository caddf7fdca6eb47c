"""Read budget, exports, holds and rates: what a permitted reader may still not do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.weights.world import LAB, TERN, World, arrays

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import DAY, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid, TooMany
from weighthouse.core.work import read
from weighthouse.weights import api as weights
from weighthouse_sdk import checkpoint
from weighthouse_sdk.checkpoint_binding import Recipient


@pytest.fixture
def small(any_database: Database, clock: ManualClock, tmp_path: Any) -> World:
    """A lab whose frontier class lets a person open about three of the test's checkpoints a day."""
    text = LAB.read_text("utf-8").replace("read_budget: 64MiB", "read_budget: 600KiB")
    return World(any_database, clock, tmp_path, text)


def exported(world: World, caller: Caller, version: str, destination: str) -> weights.Export:
    with world.unit(caller) as unit:
        return weights.export(unit, caller, version, destination)


def test_weights_case_38_slow_reading_meets_the_days_budget(small: World) -> None:
    small.grant("ada", "tern-train")
    version = small.save(small.run("ada"))
    allowed = 600 * 1024 // version.bytes
    assert allowed >= 2
    for _ in range(allowed):  # from a fresh run each time: the budget is the person's, not the run's
        small.begin_load(small.run("ada"), version.id)
    before = small.size()
    for caller in (small.run("ada"), small.run("ada")):
        with pytest.raises(TooMany) as caught:
            small.begin_load(caller, version.id)
        assert caught.value.code == "weights.read_budget"
    if small.system.database.dialect == "sqlite":
        kinds = [kind for kind in small.since(before) if kind.startswith(("weights.", "keys."))]
        assert kinds == ["weights.ReadBudgetSpent", "weights.ReadBudgetSpent"]
    with read(small.system) as unit:
        budget = weights.read_budget(unit, "ada", TERN)
    assert budget.spent == allowed * version.bytes
    assert budget.left == budget.limit - budget.spent
    small.clock.advance(budget.resets - small.clock.now())
    small.grant("ada", "tern-train")
    audit.sequence(small.system)
    small.begin_load(small.run("ada"), version.id)


def test_a_refused_load_charges_nothing(world: World) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    with pytest.raises(Denied):
        world.begin_load(world.run("eve"), version.id)
    with read(world.system) as unit:
        assert weights.read_budget(unit, "eve", TERN).spent == 0


def test_weights_case_40_a_caller_who_asks_for_very_many_keys_is_stopped(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    for _ in range(1):
        world.begin_save(run, shards=998)
    world.begin_save(run, shards=998)
    before = world.size()
    with pytest.raises(TooMany) as caught:
        world.begin_save(run, shards=10)
    assert caught.value.code == "keys.rate"
    assert world.since(before) == ["keys.KeyRefused"]
    world.begin_save(world.run("ada"), shards=10)
    world.clock.advance(MINUTE)
    world.begin_save(run, shards=10)
    for shards in (0, -1, 1001, 1 << 40):
        with pytest.raises(Invalid) as bad:
            world.begin_save(run, shards=shards)
        assert bad.value.code == "weights.bad_shards"


def test_an_export_goes_to_the_destination_that_the_approvers_saw_and_opens_there_only(world: World) -> None:
    world.grant("ada", "tern-train")
    version, other = world.save(world.run("ada")), world.save(world.run("ada"))
    partner, thief, eve = Recipient(), Recipient(), world.person("eve")
    destination = f"x25519:{partner.public.hex()}"
    world.grant("eve", "tern-export", operation={"version": version.id, "destination": destination})
    for wrong in ((version.id, f"x25519:{thief.public.hex()}"), (other.id, destination)):
        before = world.size()
        with pytest.raises(Denied) as caught:
            exported(world, eve, *wrong)
        assert caught.value.code == "access.operation_differs"
        assert world.since(before) == ["access.Denied"]
    let_out = exported(world, eve, version.id, destination)
    ticket = checkpoint.parse_bundle(let_out.bundle.encode(), audit.keys(world.system))
    loaded = checkpoint.load(ticket, partner, world.state / "objects" / let_out.prefix)
    assert (loaded["embed"] == arrays()["embed"]).all()
    with pytest.raises(Exception, match="sealed"):
        checkpoint.load(ticket, thief, world.state / "objects" / let_out.prefix)
    (fact,) = world.facts("weights.WeightsExported")
    assert (fact["destination"], fact["digest"], fact["bytes"]) == (destination, version.digest, version.bytes)
    assert json.loads(let_out.bundle)["destination"] == destination


def test_a_grant_to_load_or_train_exports_nothing(world: World) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    destination = f"x25519:{Recipient().public.hex()}"
    for caller in (world.person("ada"), world.person("ben"), world.person("gil")):
        with pytest.raises(Denied):
            exported(world, caller, version.id, destination)
    with pytest.raises(Denied) as caught:
        exported(world, world.run("ada"), version.id, destination)
    assert caught.value.code == "weights.export_by_person"
    for wrong in ("", "x25519:", "x25519:" + "0" * 63, "x25519:" + "G" * 64, "age1" + "0" * 60, "file:///tmp/out"):
        with pytest.raises(Invalid) as bad:
            exported(world, world.person("ada"), version.id, wrong)
        assert bad.value.code == "weights.bad_destination"


def test_a_hold_beats_an_approved_export(world: World) -> None:
    world.grant("ada", "tern-train")
    version, eve, chi = world.save(world.run("ada")), world.person("eve"), world.person("chi")
    destination = f"x25519:{Recipient().public.hex()}"
    world.grant("eve", "tern-export", operation={"version": version.id, "destination": destination})
    with world.unit(chi) as unit:
        access.place_hold(unit, chi, TERN, "The committee has not decided.", actions=("weights.export",))
    before = world.size()
    with pytest.raises(Denied) as caught:
        exported(world, eve, version.id, destination)
    assert caught.value.code == "access.held"
    assert world.since(before) == ["access.Denied"]
    world.begin_load(world.run("ada"), version.id)  # the hold names export, so training goes on


def test_only_the_system_changes_key_encryption_keys(world: World) -> None:
    from weighthouse.keys import api as keys
    from weighthouse.keys.jobs import rotate_due

    world.grant("ada", "tern-train")
    world.save(world.run("ada"))
    for caller in (world.person("ada"), world.person("dee"), world.run("ada")):
        for act in (
            lambda unit, c: keys.rotate(unit, c, TERN),
            lambda unit, c: keys.set_minimum(unit, c, TERN, 1),
            lambda unit, c: keys.destroy(unit, c, TERN),
        ):
            before = world.size()
            with pytest.raises(Denied) as caught, world.unit(caller) as unit:
                act(unit, caller)
            assert caught.value.code == "keys.system_only"
            assert world.since(before) == ["keys.KeyRefused"]
    fay = world.person("fay")
    with world.unit(fay) as unit:
        assert [kek.name for kek in keys.keks(unit, fay)] == [TERN]
        assert keys.health(unit).ok
    assert rotate_due(world.system) == 0
    world.clock.advance(91 * DAY)
    assert rotate_due(world.system) == 1
    assert rotate_due(world.system) == 0
    with world.unit(SYSTEM) as unit:
        keys.destroy(unit, SYSTEM, TERN)
    assert [fact["version"] for fact in world.facts("keys.KekRotated")] == [2]
    assert len(world.facts("keys.KekDestroyed")) == 1
