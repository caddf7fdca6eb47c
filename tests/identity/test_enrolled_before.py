"""A key that was enrolled once is never enrolled again, whatever became of its row: it may be a stolen one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.identity.hiding import hide, settled
from tests.identity.support import Lab
from tests.identity.test_disowned_keys import caller
from tests.identity.test_new_keys import enrolled, grown
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api import key_sessions
from weighthouse.identity.jobs import learners
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import DeviceKey

HIDDEN = ("its row there", "its row gone", "gone, and the memory lost", "gone, and another server's")


@pytest.fixture
def any_strict(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(any_database, clock, tmp_path, **{"identity.new_keys": "confirm"})


def enrol(lab: Lab, who: str, key: DeviceKey) -> str:
    """Somebody with a password and a code, for a minute, enrols this key in the name of `who`."""
    me = caller(lab, who, lab.sign_in(who))
    lab.confirm(me, "device.enrol", key.thumbprint)
    with begin(lab.system) as unit:
        return str(api.enrol_device(unit, me, key.jwk, "laptop").id)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("ended", ["as stolen", "not yet"])
def test_a_key_does_not_come_back_by_being_enrolled_anew(any_strict: Lab, ended: str, hidden: str) -> None:
    """Attack: take the row of a stolen key away once it is ended, enrol the same key, and let it grow up beside its
    owner's."""
    lab = any_strict
    grown(lab, "dee")
    stolen = enrolled(lab, "dee")
    if ended == "as stolen":
        with begin(lab.system) as unit:
            api.end_device_of(unit, "dee", stolen[1], "my laptop was stolen", by=lab.person("dee"))
    if "memory" not in hidden:
        lab.clock.advance(MINUTE)  # the line is on its way still, on PostgreSQL
    else:
        settled(lab)
        lab.system.bind(Memory, FileMemory(lab.folder / "another.memory", now=lab.clock.now()))
    if "server" in hidden:
        settled(lab)
        for learner in learners:
            audit.learn(lab.system, 0, [learner])
    if hidden != "its row there":
        hide(lab, "identity_device", "id", stolen[1])
    for who in ("dee", "ben"):
        with pytest.raises(Conflict) as error:
            enrol(lab, who, stolen[0].key)
        assert error.value.code == "identity.device_taken"


@pytest.mark.parametrize("lost", ["every line", "that of its enrolment"])
def test_a_stolen_key_does_not_come_back_though_its_lines_were_lost_on_their_way(
    strict: Lab, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Attack: take its lines away besides, before the log has them. The memory knows it, or the line of its end."""
    stolen = enrolled(strict, "dee")
    with begin(strict.system) as unit:
        api.end_device_of(unit, "dee", stolen[1], "my laptop was stolen", by=strict.person("dee"))
    hide(strict, "identity_device", "id", stolen[1])
    nothing = audit.Lines("identity.PersonThawed")
    monkeypatch.setattr(key_sessions, "_MARKED", nothing)
    if lost == "every line":
        monkeypatch.setattr(key_sessions, "_OVER", nothing)
    else:
        strict.system.bind(Memory, FileMemory(strict.folder / "another.memory", now=strict.clock.now()))
    with pytest.raises(Conflict) as error:
        enrol(strict, "dee", stolen[0].key)
    assert error.value.code == "identity.device_taken"


def test_a_key_whose_session_alone_was_ended_as_stolen_may_be_enrolled(strict: Lab) -> None:
    """Their laptop is found again, and was never enrolled: nothing is known against its key but that session."""
    laptop, owner = strict.sign_in("dee"), strict.sign_in("dee")
    owner.post(f"sessions/{laptop.get('me')['session']}/end", {"reason": "not mine"})
    strict.clock.advance(MINUTE)
    strict.sign_in("dee", laptop)
    assert laptop.enrol("laptop")["id"]


def test_a_key_whose_enrolment_was_not_committed_may_be_enrolled_later(strict: Lab) -> None:
    grown(strict, "dee")
    me, key = strict.person("dee"), DeviceKey.generate()
    strict.confirm(me, "device.enrol", key.thumbprint)
    with pytest.raises(Unavailable), begin(strict.system) as unit:
        api.enrol_device(unit, me, key.jwk, "laptop")
        raise Unavailable("core.outcome_unknown", "The connection broke.", "Look again.")
    assert enrol(strict, "dee", key)


@pytest.mark.parametrize("hidden", [False, True], ids=["its row there", "its row gone"])
@pytest.mark.parametrize("became", ["live", "retired"])
def test_a_key_that_is_over_is_nobodys_known_device_though_its_row_is_gone(
    strict: Lab, became: str, hidden: bool
) -> None:
    client, device = enrolled(strict, "dee")
    if became == "retired":
        strict.sign_in("dee").post(f"devices/{device}/end", {"reason": "an old laptop", "retired": True})
    else:
        client.sign_out()
    if hidden:
        hide(strict, "identity_device", "id", device)
    before = len(strict.log("StepUpDemanded"))
    strict.sign_in("dee", client)
    assert len(strict.log("StepUpDemanded")) - before == (1 if became == "retired" else 0)
