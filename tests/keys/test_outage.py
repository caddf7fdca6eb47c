"""The key service gone, put back from a backup, or asked for the impossible: no key, one line, and the right code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.weights.world import TERN, World

from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Invalid, WeighthouseError
from weighthouse.keys import api as keys
from weighthouse.weights import api as weights
from weighthouse_sdk.checkpoint_binding import Recipient, seal_key


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    made = World(database, clock, tmp_path)
    made.grant("ada", "tern-train")
    return made


def refused(world: World, act: Callable[[], object], code: str) -> None:
    before = world.size()
    with pytest.raises(WeighthouseError) as caught:
        act()
    assert caught.value.code == code
    assert [kind for kind in world.since(before) if kind != "access.Allowed"] == ["keys.KeyRefused"]


def test_weights_case_27_an_outage_in_the_middle_of_a_save_and_of_a_load(world: World) -> None:
    run = world.run("ada")
    version, draft = world.save(run), world.begin_save(run)
    ticket, _ = world.begin_load(run, version.id)
    file, aside = world.state / "keys.sealed", world.state / "aside"
    file.rename(aside)
    refused(world, lambda: world.begin_load(run, version.id), "keys.no_file")
    refused(world, lambda: world.begin_save(run), "keys.no_file")
    with world.unit(run) as unit:  # what is under way goes on: its keys were given before, and no new one is needed
        assert weights.renew(unit, run, ticket.lease).version == version.id
    assert world.commit(run, draft, draft.write({})).counter == 2
    file.touch(0o600)
    file.write_bytes(b"{}")
    refused(world, lambda: world.begin_load(run, version.id), "keys.bad_file")
    aside.replace(file)
    world.load(run, version.id)


def test_weights_case_42_a_key_file_from_before_the_end_of_a_kek_brings_nothing_back(world: World) -> None:
    run = world.run("ada")
    version = world.save(run)
    backup = world.state / "backup"
    shutil.copy(world.state / "keys.sealed", backup)
    with world.unit(SYSTEM) as unit:
        keys.destroy(unit, SYSTEM, TERN)
    everything_refused(world, run, version)
    shutil.copy(backup, world.state / "keys.sealed")
    everything_refused(world, run, version)


def everything_refused(world: World, run: Caller, version: weights.Version) -> None:
    """The registry says so first; keys, asked by itself, says it again."""
    with pytest.raises(WeighthouseError, match="destroyed on purpose"):
        world.begin_load(run, version.id)
    with pytest.raises(WeighthouseError, match="destroyed on purpose"):
        world.begin_save(run)
    context, blob = {"model": TERN, "version": version.id, "shard": "a"}, keys.Wrapped(TERN, 1, bytes(66))
    recipient = world.lender(run).recipient

    def made() -> object:
        with world.unit(run) as unit:
            return keys.new_data_keys(unit, run, resource=TERN, contexts=[context], recipient=recipient)

    def opened() -> object:
        with world.unit(run) as unit:
            return keys.unwrap(unit, run, resource=TERN, items=[(blob, context)], recipient=recipient)

    refused(world, made, "keys.destroyed")
    refused(world, opened, "keys.destroyed")


# RFC 7748, section 6.1, and https://cr.yp.to/ecdh.html: every encoding of a point of low order, high bit set or not.
LOW_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize(
    "point", [*LOW_ORDER, *(each[:-2] + f"{int(each[-2:], 16) | 0x80:02x}" for each in LOW_ORDER)]
)
def test_a_recipient_with_whom_everybody_shares_the_secret_is_refused(world: World, point: str) -> None:
    run, recipient = world.run("ada"), bytes.fromhex(point)
    with pytest.raises(ValueError, match="shared key"):  # the library would fail, late and without a code
        seal_key(bytes(32), recipient, b"")
    with pytest.raises(Invalid) as caught, world.unit(run) as unit:
        keys.new_data_keys(
            unit, run, resource=TERN, recipient=recipient,
            contexts=[{"model": TERN, "version": "ver_one", "shard": "a" * 32}],
        )  # fmt: skip
    assert caught.value.code == "keys.bad_recipient"


def test_weights_case_43_no_release_is_answered_from_an_earlier_one(world: World) -> None:
    world.grant("eve", "tern-train")
    version = world.save(world.run("ada"))
    before = len(world.facts("keys.KeyReleased"))
    for person in ("ada", "eve", "eve"):
        world.load(world.run(person), version.id)
    released = world.facts("keys.KeyReleased")[before:]
    assert [fact["purpose"] for fact in released] == ["open"] * 3
    assert len({fact["recipient"] for fact in released}) == 3
    assert len({fact["grant"] for fact in released}) == 2
    # The same caller's own earlier ticket opens nothing of the new one.
    first, recipient = world.begin_load(world.run("eve"), version.id)
    second, _ = world.begin_load(world.run("eve"), version.id)
    assert {key.sealed for key in first.keys}.isdisjoint(key.sealed for key in second.keys)
    assert isinstance(recipient, Recipient)
