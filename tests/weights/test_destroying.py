"""Attacks: a version is destroyed by one person, for something else, under a hold, or before anybody could say no.

Weights cases 40 to 42. An order takes a grant for exactly this version that somebody else approved; it is final after
a time, and asked about again then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.weights.world import TERN, WREN, World, reopen

from weighthouse.access import api as access
from weighthouse.access.model import IRREVERSIBLE
from weighthouse.core.canonical import encode
from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND
from weighthouse.core.errors import Denied, Invalid, WeighthouseError
from weighthouse.core.work import System
from weighthouse.keys.ports import KeyService
from weighthouse.policy import api as policy
from weighthouse.weights import api as weights

GRACE = 10 * MINUTE
ROOT = Path(__file__).parents[2]


@pytest.fixture
def version(any_world: World) -> weights.Version:
    any_world.grant("ada", "tern-train")
    return any_world.save(any_world.run("ada"))


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(WeighthouseError) as caught:
        act()
    return caught.value.code


def destroy(world: World, person: str, version: str) -> weights.Destruction:
    caller = world.person(person)
    with world.unit(caller) as unit:
        return weights.destroy(unit, caller, version, "It must go.")


def undestroy(world: World, person: str, version: str) -> weights.Version:
    """Undo an order, with a second factor for exactly that."""
    caller = world.person(person)
    world.confirm(person, "version.undestroy", version)
    with world.unit(caller) as unit:
        return weights.undestroy(unit, caller, version, "It must stay.")


def hold(world: World, subject: str = TERN) -> None:
    chi = world.person("chi")
    with world.unit(chi) as unit:
        access.place_hold(unit, chi, subject, "An incident.", actions=("weights.export",))


def finished(world: World) -> tuple[int, list[str]]:
    """How many versions went when the timer came, and the lines that it left."""
    size = world.size()
    return weights.finish(world.system), world.since(size)


def test_whoever_trains_destroys_nothing_alone(world: World) -> None:
    world.grant("ada", "tern-train")
    world.grant("ada", "wren-train", WREN)
    tern, wren = world.save(world.run("ada")), world.save(world.run("ada", "research"), WREN)
    for found in (tern, wren):
        size = world.size()
        assert code_of(lambda found=found: destroy(world, "ada", found.id)) == "access.no_grant"
        assert world.since(size) == ["access.Denied"]


def test_an_approval_is_for_one_version_one_asker_and_one_order(any_world: World, version: weights.Version) -> None:
    world, other = any_world, any_world.save(any_world.run("ada"))
    world.grant("ada", "tern-destroy", operation={"version": version.id})
    assert code_of(lambda: destroy(world, "ada", other.id)) == "access.operation_differs"
    for approver in ("ben", "chi"):
        assert code_of(lambda approver=approver: destroy(world, approver, version.id)).startswith("access.")
    order = destroy(world, "ada", version.id)
    assert (order.state, order.person, sorted(order.approvers)) == ("being_destroyed", "ada", ["ben", "chi"])
    world.settle()
    assert code_of(lambda: destroy(world, "ada", version.id)) == "weights.being_destroyed"
    undestroy(world, "ben", version.id)
    world.settle()
    assert code_of(lambda: destroy(world, "ada", version.id)) == "weights.order_used"


def test_nothing_is_opened_meanwhile_and_nothing_is_lost(any_world: World, version: weights.Version) -> None:
    world, ada, run = any_world, any_world.person("ada"), any_world.run("ada")
    ticket, _ = world.begin_load(run, version.id)
    order = world.order("ada", version)

    def renewed() -> object:
        with world.unit(run) as unit:
            return weights.renew(unit, run, ticket.lease)

    def described() -> object:
        with world.unit(ada) as unit:
            return weights.describe(unit, ada, version.id)

    for act in (lambda: world.begin_load(run, version.id), renewed, described):
        assert code_of(act) == "weights.being_destroyed"
    with world.unit(ada) as unit:
        assert weights.version(unit, ada, version.id).state == "being_destroyed"
    world.settle()
    with world.unit(ada) as unit:
        assert weights.destruction(unit, version.id) == order
    with world.unit() as unit:
        weights.rewrap(unit, version.id)  # what keeps its keys goes on, or an undone order would have lost them
    world.clock.advance(GRACE - SECOND)
    assert finished(world) == (0, [])
    for person in ("gil", "eve"):
        assert code_of(lambda person=person: undestroy(world, person, version.id)).startswith("access.")
    assert undestroy(world, "ada", version.id).state == "committed"
    assert world.facts("weights.DestructionUndone")[-1]["by"] == "ada"
    assert code_of(lambda: undestroy(world, "ada", version.id)).startswith(("access.", "weights.not_being"))
    world.clock.advance(2 * SECOND)
    assert finished(world) == (0, [])
    assert set(world.load(world.run("ada"), version.id)) == {"embed", "head", "step"}


def test_at_its_time_it_is_final_by_one_line_and_can_not_be_undone(
    any_world: World, version: weights.Version
) -> None:
    world = any_world
    order = world.order("ada", version)
    world.settle()
    world.clock.advance(GRACE)
    assert finished(world) == (1, ["weights.CheckpointDestroyed"])
    assert world.facts("weights.CheckpointDestroyed")[-1]["order"] == order.order
    with world.unit() as unit:
        assert unit.conn.execute(text("SELECT count(*) FROM weights_key")).scalar() == 0
    assert code_of(lambda: undestroy(world, "ada", version.id)) in {"weights.destroyed", "access.grant_expired"}
    assert code_of(lambda: world.begin_load(world.run("ada"), version.id)) == "weights.destroyed"
    assert finished(world) == (0, [])


@pytest.mark.parametrize("subject", [TERN, "lab"])
def test_any_hold_refuses_it_when_asked_approved_ordered_and_final(world: World, subject: str) -> None:
    """A hold that names something else is a hold all the same: what it is about must be there when it is lifted."""
    world.grant("ada", "tern-train")
    first, second, third = (world.save(world.run("ada")) for _ in range(3))
    world.order("ada", first)
    world.grant("ada", "tern-destroy", operation={"version": second.id})
    ada = world.person("ada")
    with world.unit(ada) as unit:
        waiting = access.submit(
            unit, ada, entitlement="tern-destroy", resource=TERN, duration=HOUR, reason="It must go, too.",
            operation={"version": third.id},
        )  # fmt: skip
    world.approve("chi", waiting.id)
    hold(world, subject)
    asked = lambda: world.grant("ada", "tern-destroy", operation={"version": third.id})  # noqa: E731
    assert code_of(asked) in {"access.held", "access.already_pending"}
    assert code_of(lambda: world.approve("ben", waiting.id)) == "access.held"
    assert code_of(lambda: destroy(world, "ada", second.id)) == "access.held"
    world.clock.advance(GRACE)
    assert finished(world) == (0, ["weights.DestructionUndone"])
    assert [(line["code"], line["by"]) for line in world.facts("weights.DestructionUndone")] == [
        ("access.held", "system")
    ]
    assert finished(world) == (0, [])
    world.begin_load(world.run("ada"), first.id)


def _revoked(world: World, order: weights.Destruction) -> None:
    chi, grant = world.person("chi"), world.facts("weights.DestructionOrdered")[-1]["grant"]
    with world.unit(chi) as unit:
        access.revoke(unit, chi, grant, "It was not meant.")


def _put_back(world: World, order: weights.Destruction) -> None:
    with world.unit() as unit:
        unit.conn.execute(text("UPDATE weights_version SET body = replace(body, 'being_destroyed', 'committed')"))


@pytest.mark.parametrize(
    ("meanwhile", "code", "more"),
    [(_revoked, "access.grant_ended", []), (_put_back, "weights.row_seal", ["weights.TamperFound"])],
)
def test_what_stands_against_it_at_the_end_undoes_it_with_one_line(
    any_world: World, version: weights.Version, meanwhile: Callable[[World, Any], None], code: str, more: list[str]
) -> None:
    world = any_world
    order = world.order("ada", version)
    world.settle()
    meanwhile(world, order)
    world.clock.advance(GRACE)
    assert finished(world) == (0, [*more, "weights.DestructionUndone"])
    assert world.facts("weights.DestructionUndone")[-1]["code"] == code
    assert finished(world) == (0, [])
    with world.unit() as unit:
        assert unit.conn.execute(text("SELECT count(*) FROM weights_key")).scalar() > 0


def test_an_old_row_with_its_seal_opens_nothing_and_is_told_at_the_end(world: World) -> None:
    """The database's administrator puts back the row of before the order, seal and all; the log remembers."""
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    with world.unit() as unit:
        row = unit.conn.execute(text("SELECT body, seal FROM weights_version")).one()
    world.order("ada", version)
    with world.unit() as unit:
        unit.conn.execute(text("UPDATE weights_version SET body = :b, seal = :s"), {"b": row.body, "s": row.seal})
    assert code_of(lambda: world.begin_load(world.run("ada"), version.id)) == "weights.being_destroyed"
    world.clock.advance(GRACE)
    assert finished(world) == (0, ["weights.DestructionUndone"])
    assert world.facts("weights.DestructionUndone")[-1]["code"] == "weights.rolled_back"


@pytest.mark.parametrize("step", ["keys", "row", "line", "commit", "retire", "objects"])
def test_a_kill_at_any_step_of_the_end_leaves_all_or_nothing_and_it_comes_to_its_end(world: World, step: str) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    folder = world.state / "objects" / version.prefix
    with world.unit() as unit:
        blob = bytes(unit.conn.execute(text("SELECT blob FROM weights_key")).scalars().first() or b"")
    world.order("ada", version)
    world.clock.advance(GRACE)
    url = str(world.system.database.engine.url)
    world.system.database.engine.dispose()
    done = subprocess.run(
        [sys.executable, "-m", "tests.weights.killed_end", url, str(world.state), str(world.clock.now()), step],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    over = step in ("retire", "objects")
    with world.unit() as unit:
        left = unit.conn.execute(text("SELECT count(*) FROM weights_key")).scalar()
    assert (left == 0, len(world.facts("weights.CheckpointDestroyed"))) == (over, int(over))
    assert folder.exists()
    again = reopen(url, world.state, world.clock.now())  # a server that starts anew
    assert weights.finish(again) == (0 if over else 1)
    weights.sweep(again)
    assert not folder.exists() and len(world.facts("weights.CheckpointDestroyed")) == 1
    assert _retired(again, blob, version.id)
    again.database.close()


def _retired(system: System, blob: bytes, version: str) -> bool:
    """Whether the key service opens a wrapped key of a version no more, from whichever backup it comes."""
    with pytest.raises(Denied) as caught:
        system.part(KeyService).unwrap(TERN, [(blob, encode({"version": version}))])
    return caught.value.code == "keys.destroyed"


def test_an_order_lasts_as_long_as_it_was_given_for(world: World) -> None:
    world.grant("ada", "tern-train")
    version = world.save(world.run("ada"))
    world.limit(destroy_grace_s=2 * 24 * 3600)
    world.order("ada", version)
    world.limit(destroy_grace_s=1)
    world.clock.advance(2 * DAY - SECOND)
    assert weights.finish(world.system) == 0
    world.clock.advance(SECOND)
    assert weights.finish(world.system) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    operation: [version]\n", ""),
        ("    operation: [version]\n", "    operation: [version, destination]\n"),
        ("    actions: [weights.destroy]\n", "    actions: [weights.destroy, weights.save]\n"),
        (
            "    approval:\n      steward: {team: weights-stewards, count: 1}\n  tern-destroy",
            "    approval: none\n  tern-destroy",
        ),
    ],
)
def test_no_text_lets_anybody_destroy_alone_or_something_else(world: World, old: str, new: str) -> None:
    with world.unit() as unit:
        before = policy.current(unit).lab
    whole = world.text
    assert policy.parse(whole, "lab.yaml") == before
    start = whole.index("  wren-destroy:")
    edited = whole[:start] + whole[start:].replace(old, new, 1)
    assert edited != whole
    with pytest.raises(Invalid) as caught:
        policy.parse(edited, "lab.yaml")
    assert caught.value.code == "policy.lone_destroyer" and "operation: [version]" in caught.value.remedy


def test_where_no_entitlement_names_it_nobody_destroys(world: World) -> None:
    """What lab texts of before say: saving a model does not let anybody destroy it any more."""
    lab = policy.parse(world.text, "lab.yaml")
    named = [one.id for one in lab.entitlements.values() if "weights.destroy" in one.actions]
    assert named == ["wren-destroy", "tern-destroy"]
    assert policy.IRREVERSIBLE.keys() == IRREVERSIBLE
    assert policy.notes(lab) == [] and "weights.destroy" not in policy.IMPLIED
    start = world.text.index("  wren-destroy:")
    older = policy.parse(world.text[:start] + world.text[world.text.index("\nseparations:") :], "lab.yaml")
    note, whole = policy.notes(older)
    assert "model/tern, model/wren: nobody can destroy" in note
    assert "weights.destroy_model on model/tern, model/wren: nobody can end" in whole
