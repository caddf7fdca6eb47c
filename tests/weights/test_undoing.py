"""Attack: what two people ordered to be destroyed is kept by whoever holds a session of one of them, and nothing else.

To undo an order opens again what was closed, and nobody can order it anew without asking; so it takes a second factor
that was given for exactly that, in the session that undoes it.
"""

from __future__ import annotations

import msgspec
import pytest
from tests.weights.test_destroying import code_of, finished, undestroy, version
from tests.weights.world import World

from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.clock import MINUTE
from weighthouse.core.ids import SessionId
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights

__all__ = ["version"]
UNCONFIRMED = "identity.act_unconfirmed"


@pytest.fixture
def ordered(any_world: World, version: weights.Version) -> weights.Version:
    """A version that ada has ordered the destruction of, and that ben has approved."""
    any_world.order("ada", version)
    any_world.settle()
    return version


def stolen(world: World, who: str = "ben", session: str = "1", level: int = 1) -> Caller:
    """What a thief has: a session of somebody's, with all that a sign-in gave it."""
    return msgspec.structs.replace(
        world.person(who),
        session=SessionId("ses_" + session.rjust(26, "0")),
        assurance=Assurance(level, world.clock.now(), "password"),
        binding="browser",
    )


def undo(world: World, caller: Caller, version: str) -> weights.Version:
    with world.unit(caller) as unit:
        return weights.undestroy(unit, caller, version, "It must stay.")


def give(world: World, caller: Caller, subject: str) -> None:
    """A second factor of the caller's, in their session, for undoing the order about `subject`."""
    with world.unit(caller) as unit:
        act = identity.Act(type="version.undestroy", subject=subject)
        identity.factor_given(unit, caller, [act], method="test", at=unit.now)


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("who", ["ada", "ben", "chi"])
def test_a_stolen_session_keeps_nothing_that_two_people_would_have_destroyed(
    any_world: World, ordered: weights.Version, who: str, level: int
) -> None:
    world, size = any_world, any_world.size()
    assert code_of(lambda: undo(world, stolen(world, who, level=level), ordered.id)) == UNCONFIRMED
    assert world.since(size) == ["identity.ActUnconfirmed"]
    world.clock.advance(10 * MINUTE)
    assert finished(world) == (1, ["weights.CheckpointDestroyed"])


def test_a_factor_is_for_one_version_one_session_and_one_time(any_world: World, ordered: weights.Version) -> None:
    world, ben = any_world, stolen(any_world, session="2")
    other = world.save(world.run("ada"))
    give(world, ben, other.id)
    assert code_of(lambda: undo(world, ben, ordered.id)) == UNCONFIRMED
    give(world, ben, ordered.id)
    assert code_of(lambda: undo(world, stolen(world, session="1"), ordered.id)) == UNCONFIRMED
    assert undo(world, ben, ordered.id).state == "committed"
    world.settle()
    told = world.facts("weights.DestructionUndone")[-1]
    assert (told["by"], told["session"]) == ("ben", ben.session)
    world.order("ada", ordered)
    world.settle()
    assert code_of(lambda: undo(world, ben, ordered.id)) == UNCONFIRMED
    assert undestroy(world, "ben", ordered.id).state == "committed"


def test_who_may_not_undo_it_is_told_so_and_asked_for_no_factor(any_world: World, ordered: weights.Version) -> None:
    for who in ("gil", "eve"):
        code = code_of(lambda who=who: undo(any_world, stolen(any_world, who), ordered.id))
        assert code.startswith("access."), code


def test_a_stolen_session_keeps_no_whole_model_either(any_world: World, version: weights.Version) -> None:
    world = any_world
    world.end("ada", version)
    world.settle()

    def kept(caller: Caller) -> None:
        with world.unit(caller) as unit:
            weights.undestroy_model(unit, caller, version.model, "It must stay.")

    thief, size = stolen(world), world.size()
    assert code_of(lambda: kept(thief)) == UNCONFIRMED
    assert world.since(size) == ["identity.ActUnconfirmed"]
    give(world, thief, version.model)
    assert code_of(lambda: kept(thief)) == UNCONFIRMED, "a factor for a version of that name is none for a model"
    with world.unit(thief) as unit:
        act = identity.Act(type="model.undestroy", subject=version.model)
        identity.factor_given(unit, thief, [act], method="test", at=unit.now)
    kept(thief)
    world.settle()
    (told,) = world.facts("weights.ModelDestructionUndone")
    assert (told["by"], told["session"]) == ("ben", thief.session)
