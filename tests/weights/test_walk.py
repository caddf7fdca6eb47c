"""The whole walk: grants with real votes, save, commit, load bit for bit, lineage, renewals, destruction."""

from __future__ import annotations

import pytest
from tests.weights.world import TERN, WREN, World, arrays

from weighthouse.core.clock import DAY, HOUR, SECOND
from weighthouse.core.errors import Conflict, Denied, NotFound, WeighthouseError
from weighthouse.weights import api as weights
from weighthouse_sdk.errors import CheckpointError


def test_a_run_saves_a_child_of_what_it_loaded_and_both_come_back_bit_for_bit(any_world: World) -> None:
    world = any_world
    world.grant("ada", "tern-train")
    run = world.run("ada")
    parent = world.save(run)
    loaded = world.load(run, parent.id)
    assert all((loaded[name] == array).all() for name, array in arrays().items())
    child = world.save(run, parent=parent.id, seed=2)
    assert (child.counter, child.parent.version if child.parent else "") == (2, parent.id)
    again = world.load(run, child.id)
    assert all((again[name] == array).all() for name, array in arrays(2).items())
    ada = world.person("ada")
    with world.unit(ada) as unit:
        assert [version.id for version in weights.lineage(unit, ada, child.id)] == [child.id, parent.id]
        assert [version.id for version in weights.versions(unit, ada, TERN)] == [child.id, parent.id]
        assert weights.versions(unit, ada, TERN)[0] == child
        (tern, wren) = weights.models(unit, ada)
        assert (tern.id, tern.versions, tern.newest, wren.versions) == (TERN, 2, child.id, 0)
    if world.system.database.dialect == "sqlite":
        sealed = world.facts("weights.CheckpointSealed")
        assert [(fact["counter"], fact["digest"]) for fact in sealed] == [(1, parent.digest), (2, child.digest)]
        assert [fact["purpose"] for fact in world.facts("keys.KeyReleased")] == ["new", "open", "new", "open"]


def test_without_a_grant_nothing_is_saved_or_loaded_and_each_try_is_one_line(world: World) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    for caller in (world.run("eve"), world.person("eve"), world.person("dee")):
        for attempt in (lambda c=caller: world.begin_load(c, version.id), lambda c=caller: world.begin_save(c)):
            before = world.size()
            with pytest.raises(Denied):
                attempt()
            assert world.since(before) == ["access.Denied"]


def test_weights_case_28_a_revoked_grant_stops_the_next_key_and_the_next_renewal(world: World) -> None:
    grant = world.grant("ada", "tern-train")
    assert grant is not None
    run = world.run("ada")
    version = world.save(run)
    ticket, _ = world.begin_load(run, version.id)
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    chi = world.person("chi")
    from weighthouse.access import api as access

    with world.unit(chi) as unit:
        access.revoke(unit, chi, grant.id, "The laptop was stolen.")
    for attempt in (
        lambda: world.begin_load(run, version.id),
        lambda: renew(world, run, ticket.lease),
        lambda: world.begin_save(run),
        lambda: world.commit(run, draft, envelope),
    ):
        before = world.size()
        with pytest.raises(Denied):
            attempt()
        assert world.since(before) == ["access.Denied"]


def renew(world: World, caller: object, lease: str) -> weights.Lease:
    with world.unit(caller) as unit:  # type: ignore[arg-type]
        return weights.renew(unit, caller, lease)  # type: ignore[arg-type]


def test_weights_case_29_a_lease_ends_with_its_minute_and_with_its_grant(world: World) -> None:
    grant = world.grant("ada", "tern-train")
    assert grant is not None
    run = world.run("ada")
    version = world.save(run)
    ticket, _ = world.begin_load(run, version.id)
    assert ticket.lease_until == ticket.now + 60 * SECOND  # the class asks for a second factor
    world.clock.advance(59 * SECOND)
    renewed = renew(world, run, ticket.lease)
    assert renewed.lease_until == renewed.now + 60 * SECOND
    world.clock.advance(60 * SECOND)
    with pytest.raises(Conflict) as caught:
        renew(world, run, ticket.lease)
    assert caught.value.code == "weights.lease_ended"
    world.clock.set(grant.end - 10 * SECOND)
    with pytest.raises(WeighthouseError):
        renew(world, run, ticket.lease)
    run = world.run("ada")
    ticket, _ = world.begin_load(run, version.id)
    assert ticket.lease_until == grant.end
    world.clock.set(grant.end)
    with pytest.raises(Denied):
        world.begin_load(run, version.id)


def test_a_lease_or_a_save_of_somebody_else_does_not_exist(world: World) -> None:
    world.grant("ada", "tern-train")
    one, two = world.run("ada"), world.run("ada")
    version = world.save(one)
    ticket, _ = world.begin_load(one, version.id)
    with pytest.raises(NotFound) as caught:
        renew(world, two, ticket.lease)
    assert caught.value.code == "weights.no_lease"
    draft = world.begin_save(one)
    with pytest.raises(NotFound) as caught:
        world.commit(two, draft, draft.write(arrays()))
    assert caught.value.code == "weights.no_save"


def test_a_ticket_opens_only_with_the_callers_own_key(world: World) -> None:
    import msgspec

    from weighthouse_sdk import checkpoint
    from weighthouse_sdk.checkpoint_binding import Recipient

    world.grant("ada", "tern-train")
    run = world.run("ada")
    version = world.save(run)
    ticket, _ = world.begin_load(run, version.id)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(
            checkpoint.parse_load(msgspec.to_builtins(ticket)), Recipient(), world.state / "objects" / ticket.prefix
        )
    assert caught.value.code == "checkpoint.sealed_key"


def test_a_child_of_frontier_weights_cannot_become_an_internal_model(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    parent = world.save(run)
    world.grant("ada", "wren-train", WREN)
    internal = world.run("ada", environment="research")
    before = world.size()
    with pytest.raises(Denied) as caught:
        world.begin_save(internal, WREN, parent.id)
    assert caught.value.code == "weights.class_lowered"
    assert world.since(before) == ["weights.ManifestRefused"]
    world.save(internal, WREN)


def test_destroying_a_version_destroys_its_keys_for_good(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    version = world.save(run)
    with pytest.raises(Denied), world.unit(run) as unit:
        weights.destroy(unit, run, version.id, "A run may not.")
    world.destroyed("ada", version)
    assert not (world.state / "objects" / version.prefix).exists()
    with pytest.raises(Conflict) as caught:
        world.begin_load(run, version.id)
    assert caught.value.code == "weights.destroyed"
    assert len(world.facts("weights.CheckpointDestroyed")) == 1


def test_saves_that_never_came_to_an_end_are_swept(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    kept, left = world.save(run), world.begin_save(run)
    left.write(arrays())
    assert weights.sweep(world.system) == 0
    world.clock.advance(DAY + HOUR)
    assert weights.sweep(world.system) == 1
    assert weights.sweep(world.system) == 0
    assert not left.folder.exists()
    assert (world.state / "objects" / kept.prefix / "shards").exists()


def test_rewrapping_moves_keys_to_the_new_version_and_the_data_stays(world: World) -> None:
    from weighthouse.core.caller import SYSTEM
    from weighthouse.keys import api as keys

    world.grant("ada", "tern-train")
    run = world.run("ada")
    version = world.save(run)
    with world.unit(SYSTEM) as unit:
        assert keys.rotate(unit, SYSTEM, TERN) == 2
    with world.unit(SYSTEM) as unit:
        assert weights.rewrap(unit, version.id) == 2
    with world.unit(SYSTEM) as unit:
        keys.set_minimum(unit, SYSTEM, TERN, 2)
    assert (world.load(run, version.id)["embed"] == arrays()["embed"]).all()
    assert weights.verify_stored(world.system, version.id) == []
