"""A hold is on something that is there, and no policy text takes that away from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.weights.world import TERN, World
from weighthouse.access import api as access
from weighthouse.access.api.subjects import check_kept
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid
from weighthouse.core.work import begin
from weighthouse.policy import api as policy


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return World(database, clock, tmp_path)


def hold(world: World, subject: str, *actions: str) -> access.Hold:
    chi = world.person("chi")
    with begin(world.system, chi) as unit:
        return access.place_hold(unit, chi, subject, "look into it", actions=actions)


@pytest.mark.parametrize(
    ("subject", "actions"),
    [
        ("class:frontir", ()),
        ("environment:moon", ()),
        ("class:", ()),
        ("model/tren", ()),
        ("ver_" + "0" * 26, ()),
        ("ver_1", ()),
        ("dataset/stdlib", ("weights.save",)),
        ("dataset/stdlib", ("policy.publish", "request.vote")),
    ],
)
def test_a_hold_that_would_stop_nothing_is_refused(world: World, subject: str, actions: tuple[str, ...]) -> None:
    before = world.size()
    with pytest.raises(Invalid) as caught:
        hold(world, subject, *actions)
    assert caught.value.code == "access.bad_hold" and world.since(before) == []


def test_a_version_is_held_by_what_is_asked_about_versions(world: World) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    with pytest.raises(Invalid) as caught:
        hold(world, version.id, "run.submit")
    assert caught.value.code == "access.bad_hold" and "weights.export" in caught.value.remedy
    assert hold(world, version.id, "weights.load").subject == version.id


def _text(old: str, new: str) -> Callable[[str], str]:
    def changed(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return changed


DODGES = {
    "the model is renamed": (TERN, _text("model/tern", "model/heron")),
    "its class is renamed": ("class:internal", _text("class: internal", "class: public")),
    "it is moved to another class": ("class:frontier", _text("class: frontier", "class: control")),
    "it is moved to another environment": (
        "environment:research",
_text("environment: research", "environment: frontier"),
    ),
    "the data set is renamed": ("dataset/stdlib", _text("dataset/stdlib", "dataset/sources")),
    "her account is somebody else's": (
        "eve",
        _text("subject: eve}]\n", "subject: eve-2}]\n    teams: [training]\n  eva:\n    name: Eva\n    accounts: [{issuer: dev, subject: eve}]\n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dodge", DODGES)
def test_a_text_takes_nothing_away_from_a_hold(world: World, dodge: str) -> None:
    subject, change = DODGES[dodge]
    placed = hold(world, subject)
    text, dee = change(world.text), world.person("dee")
    before = world.size()
    with pytest.raises(Denied) as caught, begin(world.system, dee) as unit:
        check_kept(unit, dee, policy.current(unit), policy.parse(text, "lab.yaml", now=unit.now))
    assert caught.value.code == "access.hold_would_slip" and placed.id in caught.value.message
    assert world.since(before) == ["access.Denied"]


def test_publishing_asks_and_so_does_planning(world: World) -> None:
    hold(world, TERN, "weights.export")
    text, dee = world.text.replace("model/tern", "model/heron"), world.person("dee")
    digest = {"policy": policy.digest_of(text)}
    world.grant("dee", "policy-change", "lab", operation=digest, approvers=("chi", "gil", "hana"))
    world.confirm("dee", "policy.publish", "lab", **digest)
    before = world.size()
    with pytest.raises(Denied) as caught, begin(world.system, dee) as unit:
        access.publish_policy(unit, dee, text, "lab.yaml")
    assert caught.value.code == "access.hold_would_slip" and world.since(before) == ["access.Denied"]
    with pytest.raises(Denied) as caught, begin(world.system, dee) as unit:
        access.plan_policy(unit, dee, text, "lab.yaml")
    assert caught.value.code == "access.hold_would_slip"


def test_names_that_people_read_may_change_and_a_held_person_may_be_made_inactive(world: World) -> None:
    hold(world, TERN)
    hold(world, "eve")
    hold(world, "class:frontier")
    text = world.text.replace("name: Tern\n", "name: Heron\n").replace(
        "    name: Eve (contractor)\n", "    name: Eve (was here)\n    active: false\n"
    )
    dee = world.person("dee")
    with begin(world.system, dee) as unit:
        check_kept(unit, dee, policy.current(unit), policy.parse(text, "lab.yaml", now=unit.now))


def test_the_page_of_a_thing_shows_every_hold_that_is_on_it(world: World) -> None:
    placed = [hold(world, one).id for one in ("class:frontier", "environment:frontier", TERN, "lab")]
    hold(world, "class:internal")
    with begin(world.system) as unit:
        assert sorted(one.id for one in access.holds_about(unit, TERN)) == sorted(placed)
