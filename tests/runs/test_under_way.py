"""A run that is submitted, or a version that is exported, in a session that is ended meanwhile: nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from tests.runs.world import RunsWorld
from tests.weights.world import TERN
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.api.sessions import open_session
from weighthouse.weights import api as weights
from weighthouse_sdk.checkpoint_binding import Recipient


@pytest.fixture
def world(any_database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> RunsWorld:
    return RunsWorld(any_database, clock, tmp_path, short)


def session_of(world: RunsWorld, person: str) -> Caller:
    with begin(world.system) as unit:
        session, _ = open_session(
            unit, person=person, binding="dpop", key="", address="127.0.0.1", network="", user_agent="x",
            device_mark="", assurance=Assurance(2, unit.now, "otp"), account=world.person(person).account, reasons=(),
        )  # fmt: skip
    world.clock.advance(1)
    return structs.replace(world.person(person), session=session.id)


def submits(world: RunsWorld) -> tuple[Caller, Callable[[], object]]:
    world.grant("ada", "tern-train")
    ada = session_of(world, "ada")
    return ada, lambda: world.submit("print(1)", model=TERN, caller=ada)


def exports(world: RunsWorld) -> tuple[Caller, Callable[[], object]]:
    world.grant("ada", "tern-train")
    version = world.save(world.run()).id
    destination = f"x25519:{Recipient().public.hex()}"
    world.grant("eve", "tern-export", operation={"version": version, "destination": destination})
    eve = session_of(world, "eve")

    def export() -> object:
        with begin(world.system, eve) as unit:
            return weights.export(unit, eve, version, destination)

    return eve, export


@pytest.mark.parametrize("way", [submits, exports])
def test_what_lasts_is_not_begun_by_a_session_that_was_ended_meanwhile(
    world: RunsWorld, way: Callable[[RunsWorld], tuple[Caller, Callable[[], object]]]
) -> None:
    caller, act = way(world)
    with begin(world.system) as unit:
        identity.end_session(unit, str(caller.session), identity.SIGNED_OUT, caller)
    before = world.size()
    with pytest.raises(Unauthenticated) as refusal:
        act()
    assert refusal.value.code == "identity.session_ended"
    assert world.since(before) == ["identity.CredentialRefused"]
