"""The second lock: whoever reaches the keys room without the registry is judged again, and gets sealed keys or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.weights.world import TERN, WREN, World

from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid
from weighthouse.keys import api as keys
from weighthouse.keys import rules
from weighthouse_sdk.checkpoint_binding import Binding, Recipient


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return World(database, clock, tmp_path)


def context(shard: str = "a" * 32, version: str = "ver_one", model: str = TERN) -> dict[str, Any]:
    return Binding("example-lab", model, version, "sav_one", shard, 0, 1, "application/vnd.safetensors").context()


def test_keys_are_released_sealed_and_open_only_for_the_recipient_in_their_place(world: World) -> None:
    world.grant("ada", "tern-train")
    run, recipient = world.run("ada"), Recipient()
    with world.unit(run) as unit:
        (made,) = keys.new_data_keys(unit, run, resource=TERN, contexts=[context()], recipient=recipient.public)
    again = Recipient()
    with world.unit(run) as unit:
        (opened,) = keys.unwrap(
            unit, run, resource=TERN, recipient=again.public,
            items=[(keys.Wrapped(made.kek, made.kek_version, made.wrapped), context())],
        )  # fmt: skip
    aad = Binding(
        *[context()[name] for name in ("tenant", "model", "version", "save", "shard", "index", "count", "media")]
    ).aad()
    key = recipient.open(made.sealed, aad)
    assert len(key) == 32
    assert again.open(opened.sealed, aad) == key
    assert key not in made.sealed + opened.sealed + made.wrapped
    (new, old) = world.facts("keys.KeyReleased")
    assert (new["purpose"], old["purpose"], new["count"], new["version"]) == ("new", "open", 1, "ver_one")
    assert new["grant"].startswith("grt_")
    assert new["recipient"] != old["recipient"]


def test_without_a_grant_the_keys_room_refuses_by_itself(world: World) -> None:
    world.grant("ada", "tern-train")
    run, recipient = world.run("ada"), Recipient()
    with world.unit(run) as unit:
        (made,) = keys.new_data_keys(unit, run, resource=TERN, contexts=[context()], recipient=recipient.public)
    item = (keys.Wrapped(made.kek, made.kek_version, made.wrapped), context())
    for caller in (world.run("eve"), world.person("dee"), world.person("chi")):
        before = world.size()
        with pytest.raises(Denied), world.unit(caller) as unit:
            keys.unwrap(unit, caller, resource=TERN, items=[item], recipient=recipient.public)
        assert world.since(before) == ["access.Denied"]


def test_weights_case_17_a_key_asked_for_under_another_models_name(world: World) -> None:
    # Eve holds a grant on Wren and Tern's wrapped key from a stolen backup.
    world.grant("ada", "tern-train")
    run, recipient = world.run("ada"), Recipient()
    with world.unit(run) as unit:
        (made,) = keys.new_data_keys(unit, run, resource=TERN, contexts=[context()], recipient=recipient.public)
    world.grant("eve", "wren-train", WREN)
    thief = world.run("eve", environment="research")
    stolen = keys.Wrapped(made.kek, made.kek_version, made.wrapped)
    with pytest.raises(Invalid) as bad, world.unit(thief) as unit:
        keys.unwrap(unit, thief, resource=WREN, items=[(stolen, context())], recipient=recipient.public)
    assert bad.value.code == "keys.bad_context"
    before = world.size()
    with pytest.raises(Denied) as caught, world.unit(thief) as unit:
        keys.unwrap(unit, thief, resource=WREN, items=[(stolen, context(model=WREN))], recipient=recipient.public)
    assert caught.value.code == "keys.wrong_context"
    assert world.since(before) == ["keys.KeyRefused"]


@given(st.lists(st.sampled_from([TERN, WREN]), min_size=1, max_size=4), st.integers(0, 3))
def test_contexts_of_another_model_never_pass(models: list[str], versions: int) -> None:
    listed = [context(f"{at:032x}", f"ver_{at % (versions + 1)}", model) for at, model in enumerate(models)]
    good = set(models) == {TERN} and len({each["version"] for each in listed}) == 1
    try:
        rules.encode_contexts(TERN, listed)
    except Invalid as error:
        assert error.code == "keys.bad_context"
        assert not good
    else:
        assert good


def test_counts_and_repeats_are_bounded() -> None:
    for listed, code in (
        ([], "keys.bad_count"),
        ([context(f"{at:032x}") for at in range(1025)], "keys.bad_count"),
        ([context(), context()], "keys.bad_context"),
    ):
        with pytest.raises(Invalid) as caught:
            rules.encode_contexts(TERN, listed)
        assert caught.value.code == code
