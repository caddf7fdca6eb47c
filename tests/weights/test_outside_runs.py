"""Attack: a grant "inside a sandboxed run" is used outside of any, for the keys of whatever ciphertext one has.

A class's conditions hold for whoever asks. What hands out keys, in either direction, is for runs; a class that wants
it otherwise names the action, and can not be one that asks for a sandbox or an image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text as text_of
from tests.weights.world import LAB, TERN, WREN, World, arrays

from weighthouse.access import api as access
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, Denied, Invalid
from weighthouse.core.ids import new_id
from weighthouse.keys import api as keys
from weighthouse.policy import api as policy
from weighthouse.weights import api as weights
from weighthouse_sdk.checkpoint_binding import Recipient

INTERNAL = "    sandbox: any\n    read_budget: 100GiB\n"
OPEN = INTERNAL + "    outside_runs: [weights.load, weights.save]\n"


def refused(world: World, act: Callable[[], object]) -> str:
    """The code of a refusal, which leaves one line and hands out nothing."""
    before = world.size()
    with pytest.raises(Denied) as caught:
        act()
    assert world.since(before) == ["access.Denied"]
    assert "weighthouse run submit" in caught.value.remedy
    assert [line["code"] for line in world.facts("access.Denied")][-1] == caught.value.code
    return caught.value.code


def unwrapped(world: World, caller: Any, model: str) -> object:
    """Ask keys itself, past the registry, for an opened and for a fresh data key."""
    wanted = (keys.Wrapped(model, 1, b"ciphertext"), {"model": model, "version": new_id("ver")})
    with world.unit(caller) as unit:
        return keys.unwrap(unit, caller, resource=model, items=[wanted], recipient=Recipient().public)


def fresh(world: World, caller: Any, model: str) -> object:
    with world.unit(caller) as unit:
        wanted = {"model": model, "version": new_id("ver")}
        return keys.new_data_keys(unit, caller, resource=model, contexts=[wanted], recipient=Recipient().public)


def test_keys_case_31_a_person_gets_no_data_key_outside_of_a_run_in_either_direction(world: World) -> None:
    world.grant("ada", "tern-train")
    version, ada = world.save(world.run("ada")), world.person("ada")
    assert refused(world, lambda: world.begin_load(ada, version.id)) == "access.outside_run"
    assert refused(world, lambda: world.begin_save(ada, TERN)) == "access.outside_run"
    assert refused(world, lambda: unwrapped(world, ada, TERN)) == "access.outside_run"
    assert refused(world, lambda: fresh(world, ada, TERN)) == "access.outside_run"
    assert world.begin_load(world.run("ada"), version.id)[0].keys, "her run has them"


def test_a_model_that_anybody_may_train_is_for_runs_too(world: World) -> None:
    world.grant("ada", "wren-train", WREN)
    version = world.save(world.run("ada", "research"), WREN)
    assert refused(world, lambda: world.begin_load(world.person("ada"), version.id)) == "access.outside_run"


def test_a_lease_and_a_save_of_before_the_rule_end_with_it(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    """Both were begun while the class allowed it; a lab that takes it away ends them."""
    world = World(database, clock, tmp_path, LAB.read_text("utf-8").replace(INTERNAL, OPEN))
    world.grant("ada", "wren-train", WREN)
    ada = world.person("ada")
    version = world.save(ada, WREN)
    lease, draft = world.begin_load(ada, version.id)[0].lease, world.begin_save(ada, WREN)
    envelope = draft.write({})
    publish(world, LAB.read_text("utf-8"))

    def renew() -> object:
        with world.unit(ada) as unit:
            return weights.renew(unit, ada, lease)

    assert refused(world, renew) == "access.outside_run"
    assert refused(world, lambda: world.commit(ada, draft, envelope)) == "access.outside_run"


def publish(world: World, text: str) -> None:
    """Put a text in force, without the people that it takes: that is not what is tried here."""
    with world.unit() as unit:
        policy.store(unit, text, "lab.yaml", "ops")


def test_a_class_that_says_so_lets_a_person_load_and_save(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    world = World(database, clock, tmp_path, LAB.read_text("utf-8").replace(INTERNAL, OPEN))
    world.grant("ada", "wren-train", WREN)
    ada = world.person("ada")
    version = world.save(ada, WREN)
    assert set(world.load(ada, version.id)) == {"embed", "head", "step"}
    world.grant("ada", "tern-train")
    assert refused(world, lambda: world.begin_save(ada, TERN)) == "access.outside_run", "its class does not"


@pytest.mark.parametrize(
    "strict", ["    sandbox: gvisor\n", "    sandbox: any\n    images: [sha256:" + "d" * 64 + "]\n"]
)
def test_no_class_with_a_sandbox_or_images_may_allow_it(strict: str) -> None:
    text = LAB.read_text("utf-8").replace(INTERNAL, OPEN.replace("    sandbox: any\n", strict))
    with pytest.raises(Invalid) as caught:
        policy.parse(text, "lab.yaml")
    line = text[: text.index("outside_runs: [weights")].count("\n") + 1
    assert caught.value.code == "policy.outside_runs"
    assert caught.value.message.startswith(f"lab.yaml:{line}: class 'internal' ")
    assert caught.value.remedy == "Remove 'outside_runs' from this class."


LARK = """  model/lark:
    name: Lark
    class: public
    environment: research
    owner: training
"""
SAVE_LARK = """  lark-save:
    description: Save Lark.
    actions: [weights.save]
    resources: [model/lark]
    environment: research
    eligible: [training]
    duration: {default: 8h, longest: 7d}
    approval: none
"""
PUBLIC = "    sandbox: any\n    read_budget: 1TiB\n"


def test_what_a_person_loaded_outside_is_not_saved_as_a_lesser_class_either(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    """Whether the save was begun before the load or after it, as it is for a run. Names and shapes are no weights."""
    text = LAB.read_text("utf-8").replace(INTERNAL, OPEN).replace("  dataset/stdlib:\n", LARK + "  dataset/stdlib:\n")
    text = text.replace("  wren-train:\n", SAVE_LARK + "  wren-train:\n")
    world = World(database, clock, tmp_path, text.replace(PUBLIC, PUBLIC + "    outside_runs: [weights.save]\n"))
    world.grant("ada", "wren-train", WREN)
    for person in ("ada", "eve"):
        world.grant(person, "lark-save", "model/lark")
    ada, eve = world.person("ada"), world.person("eve")
    version = world.save(ada, WREN)
    with world.unit(ada) as unit:
        weights.describe(unit, ada, version.id)
    draft = world.begin_save(ada, "model/lark")
    envelope = draft.write(arrays(2))
    world.save(ada, "model/lark", seed=3)
    world.begin_load(ada, version.id)
    clock.advance(2 * DAY)
    world.grant("ada", "lark-save", "model/lark")
    with world.system.database.engine.begin() as connection:  # the log says it as well, where no row can be taken out
        connection.execute(text_of("DELETE FROM weights_lease"))
    attempts = (lambda: world.begin_save(ada, "model/lark"), lambda: world.commit(ada, draft, envelope))
    for attempt in attempts:
        before = world.size()
        with pytest.raises(Denied) as caught:
            attempt()
        assert caught.value.code == "weights.class_lowered"
        assert [kind for kind in world.since(before) if kind != "access.Allowed"] == ["weights.ManifestRefused"]
    world.grant("eve", "lark-save", "model/lark")
    assert world.save(eve, "model/lark", seed=4).counter == 2, "who has loaded nothing higher"


def test_only_what_a_run_is_given_can_be_listed_and_a_change_is_shown_as_widening() -> None:
    text = LAB.read_text("utf-8")
    with pytest.raises(Invalid) as caught:
        policy.parse(text.replace(INTERNAL, INTERNAL + "    outside_runs: [weights.export]\n"), "lab.yaml")
    assert caught.value.code == "policy.unknown_reference"
    before, after = policy.parse(text, "a"), policy.parse(text.replace(INTERNAL, OPEN), "b")
    assert policy.difference(before, after) == [
        "WIDER: class 'internal' gains action outside of runs 'weights.load'.",
        "WIDER: class 'internal' gains action outside of runs 'weights.save'.",
    ]
    assert policy.difference(after, before)[0] == "Class 'internal' loses action outside of runs 'weights.load'."


def test_what_a_person_does_outside_of_runs_stays(world: World) -> None:
    """Names and shapes are opened by the server under a decision of their own; destroying opens nothing."""
    world.grant("ada", "tern-train")
    version, ada = world.save(world.run("ada")), world.person("ada")
    before = world.size()
    with world.unit(ada) as unit:
        found = weights.describe(unit, ada, version.id)
        assert weights.lineage(unit, ada, version.id)[0].id == version.id
    assert {row.name for row in found.items} == {"embed", "head", "step"}
    told = ["access.Allowed", "access.Allowed", "keys.KeyReleased", "weights.TensorsShown", "weights.LoadStarted"]
    assert world.since(before) == told
    assert {line["action"] for line in world.facts("access.Allowed")[-2:]} == {"weights.describe"}
    world.order("ada", version)
    with pytest.raises(Conflict):
        world.begin_load(world.run("ada"), version.id)


@pytest.mark.parametrize("action", ["weights.load", "weights.describe"])
def test_a_hold_on_loading_stops_describing_too(world: World, action: str) -> None:
    world.grant("ada", "tern-train")
    version, ada, chi = world.save(world.run("ada")), world.person("ada"), world.person("chi")
    with world.unit(chi) as unit:
        access.place_hold(unit, chi, TERN, "Looked into.", actions=("weights.load",))
    with pytest.raises(Denied) as caught, world.unit(ada) as unit:
        access.require(unit, ada, action, TERN)
    assert caught.value.code == "access.held"
    with pytest.raises(Denied), world.unit(ada) as unit:
        weights.describe(unit, ada, version.id)
