"""An act under way when its session is ended is refused at its commit, and closed again if it won the race."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.governance.under_way import ACTS, Racing
from weighthouse.access import api as access
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api import owing
from weighthouse.identity.api.sessions import end_mark
from weighthouse.identity.ports import Memory
from weighthouse.weights import api as weights


def racing(database: Database, clock: ManualClock, folder: Path) -> Racing:
    made = Racing(database, clock, folder)
    for who in ("chi", "fay"):
        made.device(who)
    return made


@pytest.fixture
def any_lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Racing:
    return racing(any_database, clock, tmp_path)


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path) -> Racing:
    return racing(database, clock, tmp_path)


@pytest.fixture
def locked(postgres_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[Racing]:
    database = Database(postgres_url)
    database.create_all()
    yield racing(database, clock, tmp_path)
    database.close()


def done(lab: Racing, kind: str) -> int:
    """How often this was done by a person; the operator thaws whom a test has frozen."""
    return sum(one.get("by") != "system" for one in lab.facts(kind))


def overtaken(lab: Racing, act: str, how: str) -> None:
    """In a thief's session, `act` is under way when the session is ended: refused, with its one line and no other."""
    prepare, kind = ACTS[act]
    who, made = prepare(lab)
    thief = lab.begin_session(who)
    caller = lab.person(who)
    wanted = made(caller)
    before = done(lab, kind)
    with pytest.raises(Unauthenticated) as refusal:
        lab.overtaken(caller, wanted, how, thief)
    assert refusal.value.code == "identity.session_ended"
    assert done(lab, kind) == before
    assert lab.refusals() == [(thief, "identity.session_ended")]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("how", ["its owner", "security"])
def test_an_act_that_waited_for_its_turn_while_its_session_was_ended_is_refused(
    lab: Racing, act: str, how: str
) -> None:
    overtaken(lab, act, how)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("how", ["its owner", "security", "a detection", "not me", "freeze"])
def test_an_act_that_waited_for_a_lock_while_its_session_was_ended_is_refused(
    locked: Racing, act: str, how: str
) -> None:
    overtaken(locked, act, how)


@pytest.mark.parametrize("act", ["lift", "thaw", "vote"])
def test_an_act_that_waited_for_a_lock_while_its_key_was_ended_as_stolen_is_refused(locked: Racing, act: str) -> None:
    """Its session has signed nothing yet, so nothing but the key itself tells that it is a thief's."""
    overtaken(locked, act, "its key")


def run_of(lab: Racing) -> tuple[Caller, str]:
    """A run under way, and a version that it may load."""
    assert lab.grant("ada", "tern-train") is not None
    version = lab.save(lab.run()).id
    return lab.run(), version


def test_a_release_to_a_run_that_ended_meanwhile_is_rolled_back(locked: Racing) -> None:
    run, version = run_of(locked)
    loads = len(locked.facts("weights.LoadStarted"))
    with pytest.raises(Unauthenticated) as refusal, begin(locked.system, run) as unit:
        weights.begin_load(unit, run, version)
        with begin(locked.system) as other:
            identity.end_workload(other, run.attributes["run"])
    assert refusal.value.code == "identity.workload_ended"
    assert len(locked.facts("weights.LoadStarted")) == loads


def test_what_a_run_does_behind_its_own_end_in_one_unit_goes_through(lab: Racing) -> None:
    run, _ = run_of(lab)
    with begin(lab.system, run) as unit:
        identity.end_workload(unit, run.attributes["run"])
    assert len(lab.facts("identity.WorkloadEnded")) == 1


OWN: dict[str, Callable[[Racing, Unit, Caller], object]] = {
    "signing out": lambda _lab, unit, who: identity.end_session(unit, str(who.session), identity.SIGNED_OUT, who),
    "not me": lambda _lab, unit, who: identity.disown(unit, who),
    "a freeze of oneself": lambda _lab, unit, who: identity.freeze(unit, who.principal, "my laptop is gone", who),
    "all of one's own": lambda _lab, unit, who: identity.end_sessions_of(unit, who.principal, "moved", who),
    "one's own key": lambda lab, unit, who: identity.end_device(unit, who, lab.device("chi")[0], "stolen"),
}


@pytest.mark.parametrize("how", OWN)
def test_an_act_that_ends_its_own_session_goes_through(lab: Racing, how: str) -> None:
    lab.begin_session("chi", key=identity_key(lab))
    with begin(lab.system, lab.living("chi")) as unit:
        OWN[how](lab, unit, lab.living("chi"))
    assert lab.refusals() == [] and len(lab.facts("identity.SessionEnded")) == 1


def identity_key(lab: Racing) -> str:
    with read(lab.system) as unit:
        return identity.device(unit, lab.device("chi")[0]).thumbprint


@pytest.mark.parametrize("how", ["epoch", "browser"])
def test_a_session_is_over_with_its_person_or_its_browser_whatever_rows_are_hidden(lab: Racing, how: str) -> None:
    """Its row is hidden while everything of its person, or another session of its browser, is ended."""
    thief = lab.begin_session("chi", key="browser:stolen")
    caller = lab.living("chi")
    lab.begin_session("chi", key="browser:stolen" if how == "browser" else "")
    lab.sql("UPDATE identity_session SET person = 'nobody', id = 'hidden' WHERE id = :id", id=thief)
    lab.clock.advance(1)
    with begin(lab.system) as unit:
        if how == "epoch":
            identity.end_sessions_of(unit, "chi", "detect:elsewhere", SYSTEM)
        else:
            end_mark(unit, "browser:stolen", "security")
    with pytest.raises(Unauthenticated) as refusal, begin(lab.system, caller) as unit:
        access.place_hold(unit, caller, "model/tern", "odd reads")
    assert refusal.value.code == "identity.session_ended" and lab.refusals() == [(thief, "identity.session_ended")]


def test_a_stop_that_an_ended_session_has_said_stands_and_is_written_down_later(lab: Racing) -> None:
    thief = lab.begin_session("chi")
    caller = lab.person("chi")
    lab.begin_session("chi")
    lab.end("its owner", "chi", thief)
    with pytest.raises(Unauthenticated) as refusal, begin(lab.system, caller) as unit:
        identity.freeze(unit, "eve", "odd reads", caller)
    assert refusal.value.code == "identity.session_ended" and "stands all the same" in refusal.value.message
    assert lab.frozen("eve") and lab.facts("identity.PersonFrozen") == []
    lab.clock.advance(MINUTE)
    assert owing.pay(lab.system) == 1
    assert lab.frozen("eve") and len(lab.facts("identity.PersonFrozen")) == 1


def after_the_end(lab: Racing, act: str, how: str, *, told: bool = True) -> None:
    """At another server, which has heard of nothing, a thief's act is committed after the end of their session, or of
    their key, whose line everybody has read."""
    who, made = ACTS[act][0](lab)
    thief = lab.begin_session(who)
    caller, wanted = lab.person(who), made(lab.person(who))
    lab.begin_session(who)
    lab.keep_states()
    own, other = lab.system.part(Memory), FileMemory(lab.state / "elsewhere", now=lab.clock.now())
    lab.end(how, who, thief)
    lab.follow()
    lab.system.bind(Memory, other)
    if how == "its key":  # as that server still sees it
        lab.put_state(who)
    with begin(lab.system, caller) as unit:
        wanted(unit)
    if told:
        lab.system.bind(Memory, own)


@pytest.mark.parametrize(("how", "told"), [("its owner", True), ("its owner", False), ("its key", True)])
@pytest.mark.parametrize("act", ["lift", "thaw"])
def test_what_was_opened_after_the_end_is_closed_again_once(any_lab: Racing, act: str, how: str, told: bool) -> None:
    after_the_end(any_lab, act, how, told=told)
    assert (any_lab.held(), any_lab.frozen("eve")) == ([], False)
    for _ in range(2):
        any_lab.follow()
    if act == "lift":
        assert (any_lab.held(), any_lab.told()) == ([("ada", "security")], [("hold", "ada", True)])
    else:
        assert (any_lab.frozen("eve"), any_lab.told()) == (True, [("person", "eve", True)])
    assert [one["by"] for one in any_lab.facts("access.OpeningFell")] == ["chi"]


@pytest.mark.parametrize(
    ("act", "kind"),
    [("enrol", "identity.DeviceEnded"), ("vote", "access.VoteVoided"), ("ask", "access.RequestLapsed")],
)
def test_what_was_given_after_the_end_falls_once(any_lab: Racing, act: str, kind: str) -> None:
    after_the_end(any_lab, act, "its owner")
    for _ in range(2):
        any_lab.follow()
    assert len(any_lab.facts(kind)) == 1
