"""What opens in a session that was somebody else's is closed again when that is found out, by name, and nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.governance.test_disowned_ballots import STOPS, Signed
from tests.governance.test_ended_keys import COVERS
from weighthouse.access import api as access
from weighthouse.access.api.holds import stand
from weighthouse.access.api.sealing import unb64
from weighthouse.access.jobs import followers
from weighthouse.access.model import Hold
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.ids import HoldId, new_id
from weighthouse.core.work import begin, read
from weighthouse.detect.rules import opened
from weighthouse.identity import api as identity
from weighthouse.identity.api.confirming import mark_confirmed
from weighthouse.identity.api.devices import drop_device
from weighthouse.identity.api.ends import ACCOUNT_GONE
from weighthouse.identity.api.freezing import is_frozen
from weighthouse.identity.jobs import followers as keys


class Open(Signed):
    """People who open what is closed, signed with their own keys."""

    def opening(self, who: str, act: str, subject: str) -> identity.KeySignature:
        device, _ = self.device(who)
        self.clock.advance(1)
        self.confirm(who, act, subject)
        at = self.clock.now()
        said = msgspec.json.decode(
            identity.opening(act, subject, audience=identity.audience(self.system), person=who, device=device, at=at)
        )
        value = self.sign(who, said)
        return identity.KeySignature(device=device, at=at, value=unb64(value))

    def freeze(self, person: str) -> None:
        with begin(self.system) as unit:
            identity.freeze(unit, person, "odd reads", self.person("chi"))
        self.clock.advance(1)

    def thaw(self, who: str, person: str) -> None:
        signed = self.opening(who, "person.thaw", person)
        with begin(self.system, self.person(who)) as unit:
            identity.thaw(unit, person, "it was a mistake", self.person(who), signed=signed)

    def lift(self, who: str, hold: str) -> Hold:
        signed = self.opening(who, "hold.lift", hold)
        caller = self.person(who)
        with begin(self.system, caller) as unit:
            return access.lift_hold(unit, caller, hold, "it was a mistake", signed=signed)

    def follow(self) -> None:
        for follower in followers:
            while audit.pump(self.system, follower):
                pass

    def frozen(self, person: str) -> bool:
        with read(self.system) as unit:
            return is_frozen(unit, person)

    def held(self) -> list[tuple[str, str]]:
        with read(self.system) as unit:
            return [(one.subject, one.kind) for one in access.holds(unit)]

    def told(self) -> list[tuple[str, str, bool]]:
        return [(one["what"], one["about"], one["again"]) for one in self.facts("access.OpeningFell")]


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path) -> Open:
    made = Open(database, clock, tmp_path)
    for who in ("chi", "fay"):
        made.device(who)
    return made


@pytest.mark.parametrize("how", STOPS)
def test_what_a_thief_thawed_and_lifted_as_security_is_closed_again(lab: Open, how: str) -> None:
    lab.freeze("eve")
    with begin(lab.system, lab.person("chi")) as unit:
        hold = access.place_hold(unit, lab.person("chi"), "ada", "bulk reads")
    thief = lab.begin_session("chi")
    lab.thaw("chi", "eve")
    lab.lift("chi", hold.id)
    assert (lab.frozen("eve"), lab.held()) == (False, [])
    lab.begin_session("chi")
    lab.stop(how, "chi", thief)
    lab.follow()
    lab.follow()
    assert (lab.frozen("eve"), lab.held()) == (True, [("ada", "security")])
    assert sorted(lab.told()) == [("hold", "ada", True), ("person", "eve", True)]


def opened_by_a_thief(lab: Open) -> None:
    """In a session of chi's, which signs out, a thief thaws eve and lifts a security hold with her key."""
    lab.freeze("eve")
    with begin(lab.system, lab.person("chi")) as unit:
        hold = access.place_hold(unit, lab.person("chi"), "ada", "bulk reads")
    thief = lab.begin_session("chi")
    lab.thaw("chi", "eve")
    lab.lift("chi", hold.id)
    lab.clock.advance(1)
    with begin(lab.system) as unit:
        identity.end_session(unit, thief, identity.SIGNED_OUT, lab.person("chi"))
    lab.clock.advance(1)


@pytest.mark.parametrize("cover", COVERS)
def test_what_a_key_opened_that_was_ended_first_is_closed_when_it_is_ended_as_stolen(lab: Open, cover: str) -> None:
    opened_by_a_thief(lab)
    key = lab.device("chi")[0]
    lab.begin_session("chi")
    with begin(lab.system, lab.person("chi")) as unit:
        if cover == "account gone":
            drop_device(unit, "chi", key, ACCOUNT_GONE, by="system")
        else:
            now = None if cover == "retired" else unit.now
            identity.end_device(unit, lab.person("chi"), key, "hidden", retired=cover == "retired", since=now)
    lab.clock.advance(HOUR)
    lab.follow()
    assert (lab.frozen("eve"), lab.held()) == (False, [])
    lab.begin_session("chi")
    with begin(lab.system, lab.person("chi")) as unit:
        identity.end_device(unit, lab.person("chi"), key, "stolen")
    for _ in range(2):
        lab.follow()
    assert (lab.frozen("eve"), lab.held()) == (True, [("ada", "security")])
    assert sorted(lab.told()) == [("hold", "ada", True), ("person", "eve", True)]


def test_what_a_key_opened_between_two_stolen_words_for_it_is_closed_again(lab: Open) -> None:
    lab.system.settings = lab.system.settings.changed(**{"identity.new_keys": "confirm"})
    stolen = [new_id("ses"), new_id("ses")]

    def confirmed(session: str) -> None:
        with begin(lab.system) as unit:
            mark_confirmed(unit, identity.device(unit, lab.device("chi")[0]), "gil", "said", session=session)
        lab.clock.advance(1)

    confirmed(stolen[0])
    opened_by_a_thief(lab)
    confirmed(stolen[1])
    assert (lab.frozen("eve"), lab.held(), lab.told()) == (False, [], [])
    for one in stolen:
        with begin(lab.system) as unit:
            identity.end_session(unit, one, "not mine", "fay", of="gil")
        lab.clock.advance(1)
        for follower in keys:
            while audit.pump(lab.system, follower):
                pass
        lab.follow()
        assert (lab.frozen("eve"), lab.held()) == (True, [("ada", "security")])
        assert sorted(lab.told()) == [("hold", "ada", True), ("person", "eve", True)]


def test_what_was_opened_anew_since_or_long_before_stays_open(lab: Open) -> None:
    """A not-me freezes nobody whom its person thawed last week, nor whom somebody has looked at since."""
    lab.freeze("eve")
    lab.begin_session("chi")
    lab.thaw("chi", "eve")
    lab.clock.advance(9 * HOUR)
    lab.freeze("dee")
    lab.begin_session("chi")
    lab.thaw("chi", "dee")
    lab.freeze("dee")
    with begin(lab.system) as unit:
        identity.thaw(unit, "dee", "the operator has looked", SYSTEM)
    lab.stop("not me", "chi", "")
    lab.follow()
    assert (lab.frozen("eve"), lab.frozen("dee"), lab.told()) == (False, False, [])


def test_what_a_session_opened_that_signed_itself_out_stays_open(lab: Open) -> None:
    lab.freeze("eve")
    session = lab.begin_session("chi")
    lab.thaw("chi", "eve")
    with begin(lab.system) as unit:
        identity.end_session(unit, session, "signed out", lab.person("chi"))
    lab.follow()
    assert (lab.frozen("eve"), lab.told()) == (False, [])


def doubt(lab: Open) -> str:
    hold = HoldId(new_id("hld"))
    with begin(lab.system, SYSTEM) as unit:
        reason = "rows of the log were edited"
        stand(
            unit, Hold(id=hold, subject="lab", kind="log", reason=reason, actions=(), placed_by="system", at=unit.now)
        )
    return hold


@pytest.mark.parametrize("how", STOPS)
def test_a_look_in_a_thiefs_session_is_no_look(lab: Open, how: str) -> None:
    hold = doubt(lab)
    thief = lab.begin_session("chi")
    assert lab.lift("chi", hold).lifted is None
    with read(lab.system) as unit:
        assert [one.looked for one in access.holds(unit)] == [("chi",)]
    lab.begin_session("chi")
    lab.stop(how, "chi", thief)
    lab.begin_session("fay")
    assert lab.lift("fay", hold).lifted is None  # she is the first
    assert lab.held() == [("lab", "log")]
    with read(lab.system) as unit:
        assert [one.looked for one in access.holds(unit)] == [("fay",)]


def test_a_doubt_that_was_settled_on_a_thiefs_look_stands_again(lab: Open) -> None:
    hold = doubt(lab)
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.begin_session("fay")
    assert lab.lift("fay", hold).lifted is not None
    lab.begin_session("chi")
    lab.stop("its owner", "chi", thief)
    lab.follow()
    assert (lab.held(), lab.told()) == ([("lab", "log")], [("hold", "lab", True)])


@pytest.mark.parametrize("how", STOPS)
def test_a_release_that_was_let_go_on_a_thiefs_answer_is_held_again(lab: Open, how: str) -> None:
    hold = lab.hold().hold
    assert hold is not None
    motion = lab.open(hold).motion.id
    thief = lab.begin_session("hana")
    lab.cast("hana", motion)
    lab.begin_session("gil")
    lab.cast("gil", motion)
    assert lab.close(motion).outcome == "carried" and not lab.status().held
    lab.begin_session("hana")
    lab.stop(how, "hana", thief)
    lab.follow()
    assert lab.status().held and lab.told() == [("hold", "model/tern", True)]
    assert [one for one in lab.held() if one[1] == "governance"] == [("model/tern", "governance")]


def test_a_release_that_the_others_alone_let_go_stays_so(lab: Open) -> None:
    hold = lab.hold().hold
    assert hold is not None
    motion = lab.open(hold).motion.id
    thief = lab.begin_session("hana")
    lab.cast("hana", motion)
    for who in ("gil", "ivo"):
        lab.begin_session(who)
        lab.cast(who, motion)
    lab.close(motion)
    lab.begin_session("hana")
    lab.stop("its owner", "hana", thief)
    lab.follow()
    assert (lab.status().held, lab.told()) == (False, [])


def test_an_alert_names_what_was_opened_and_what_became_of_it() -> None:
    said = {
        "what": "person",
        "about": "eve",
        "opened": "7",
        "opened_by": "chi",
        "session": "s",
        "hold": "",
        "by": "chi",
    }
    alert = opened.conclude(9, {**said, "again": True})
    assert (alert.severity, alert.principal) == ("high", "chi")
    assert "eve was thawed" in alert.text and "frozen again" in alert.text
    assert "look at once" in opened.conclude(9, {**said, "again": False}).text
