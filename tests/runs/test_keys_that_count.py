"""Attack: a stolen cookie, or a session that the identity provider's administrator made, orders a run on Tern.

A session and a second factor both come from the provider; what neither has is a device key that counted before. What
was ordered by somebody who has one goes on without being asked for it again: nobody is there then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from tests.runs.world import WREN, RunsWorld
from tests.weights.world import LAB, TERN
from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied
from weighthouse.core.ids import DeviceId
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights


@pytest.fixture
def strict(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    """As in production new keys wait; those of the approvers were confirmed before. Ada's own was not yet."""
    made = RunsWorld(database, clock, tmp_path, short).start()
    made.grant("ada", "tern-train")
    for person in ("ben", "chi"):
        confirm(made, person)
    made.system.settings = made.system.settings.changed(**{"identity.new_keys": "confirm"})
    yield made
    made.close()


def confirm(world: RunsWorld, person: str) -> None:
    """The operator of the machine confirms a person's key, which they read to them."""
    device = world.device(person)[0]
    with begin(world.system) as unit:
        mark = identity.device(unit, device).thumbprint
        identity.confirm_first_key(unit, person, device, mark=mark, reason="seen in person")


def keyed(world: RunsWorld) -> Caller:
    """Ada in a session that is bound to her enrolled key, as one of the command line is."""
    return structs.replace(world.person("ada"), binding="dpop", device=DeviceId(world.device("ada")[0]))


def refused(world: RunsWorld, caller: Caller, model: str = TERN) -> str:
    before = world.size()
    with pytest.raises(Denied) as caught:
        world.submit("print(1)", model=model, caller=caller)
    assert world.since(before) == ["access.Denied"]
    assert "weighthouse" in caught.value.remedy and "key" in caught.value.remedy
    return caught.value.code


def test_a_session_without_a_key_that_counts_orders_no_run_on_a_sensitive_class(strict: RunsWorld) -> None:
    assert refused(strict, strict.person("ada")) == "identity.key_missing"
    assert refused(strict, keyed(strict)) == "identity.key_young"
    stranger = structs.replace(strict.person("ada"), device=DeviceId(strict.device("ben")[0]))
    before = strict.size()
    with pytest.raises(Denied), begin(strict.system, stranger) as unit:
        access.require(unit, stranger, "run.submit", TERN)
    assert strict.since(before) == ["access.Denied"], "another person's key is none of hers"


def test_with_a_key_that_counts_the_run_is_ordered_and_goes_on_by_itself(strict: RunsWorld) -> None:
    young = keyed(strict)
    confirm(strict, "ada")
    run = strict.submit("print('trained')", model=TERN, caller=young)
    assert strict.until(run).state == "succeeded", strict.output(run)
    assert "trained" in strict.output(run)


def test_where_the_class_is_content_with_a_session_nothing_more_is_asked(strict: RunsWorld) -> None:
    strict.grant("ada", "wren-train", WREN)
    run = strict.submit("print(1)", caller=strict.person("ada"))
    assert strict.until(run).state == "succeeded"


def test_what_a_version_holds_is_not_told_to_a_bare_session_either_and_a_run_is_not_asked(strict: RunsWorld) -> None:
    version = strict.save(strict.run("ada", model=TERN))
    for caller, code in ((strict.person("ada"), "identity.key_missing"), (keyed(strict), "identity.key_young")):
        before = strict.size()
        with pytest.raises(Denied) as caught, begin(strict.system, caller) as unit:
            weights.describe(unit, caller, version.id)
        assert caught.value.code == code and strict.since(before) == ["access.Denied"]
    assert strict.begin_load(strict.run("ada", model=TERN), version.id)[0].keys


PLOVER = """  model/plover:
    name: Plover
    class: internal
    environment: frontier
    owner: training
"""
ON_PLOVER = """  plover-submit:
    description: Submit runs on Plover.
    actions: [run.submit]
    resources: [model/plover]
    environment: frontier
    eligible: [training]
    standing: true
  plover-save:
    description: Save Plover.
    actions: [weights.save]
    resources: [model/plover]
    environment: frontier
    eligible: [training]
    duration: {default: 8h, longest: 7d}
    approval: none
"""


def test_no_run_that_was_ordered_without_a_key_loads_what_asks_for_one(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path
) -> None:
    """Attack: the thief of a cookie orders a run on a lesser model of Tern's environment, and has it load Tern."""
    text = LAB.read_text("utf-8").replace("  dataset/stdlib:\n", PLOVER + "  dataset/stdlib:\n")
    text = text.replace("  wren-train:\n", ON_PLOVER + "  wren-train:\n")
    world = RunsWorld(database, clock, tmp_path, short, text)
    world.grant("ada", "tern-train")
    world.grant("ada", "plover-save", "model/plover")
    version = world.save(world.run("ada"))
    for person in ("ben", "chi"):
        confirm(world, person)
    world.system.settings = world.system.settings.changed(**{"identity.new_keys": "confirm"})
    thief = world.person("ada")
    before = world.size()
    with pytest.raises(Denied) as caught:
        world.submit("print(1)", model="model/plover", parent=version.id, caller=thief)
    assert caught.value.code == "access.ordered_below"
    assert world.since(before) == ["runs.ReferenceRefused"]
    inside = world.run("ada", model="model/plover")
    for act in (lambda: world.begin_load(inside, version.id), lambda: world.begin_save(inside, TERN)):
        before = world.size()
        with pytest.raises(Denied) as caught:
            act()
        assert caught.value.code == "access.ordered_below" and world.since(before) == ["access.Denied"]
    assert world.begin_save(inside, "model/plover").ticket.keys, "its own class asks for none"
    world.close()


def test_who_asks_about_somebody_else_is_told_as_if_they_had_their_key_with_them(strict: RunsWorld) -> None:
    fay = strict.person("fay")
    with read(strict.system) as unit:
        assert access.explain_for(unit, fay, "ada", "run.submit", TERN).allowed
        assert not access.explain(unit, strict.person("ada"), "run.submit", TERN).allowed
