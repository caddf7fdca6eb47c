"""What a thief opened is closed again by what the log says, whatever rows are planted, broken or hidden meanwhile."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.governance.conftest import LAB
from tests.governance.test_closed_again import Open, doubt
from tests.governance.test_under_way import racing
from tests.governance.under_way import Racing
from weighthouse.access import api as access
from weighthouse.access.api import closed_again, doubting
from weighthouse.access.api.holds import stand
from weighthouse.access.api.owing import owed
from weighthouse.access.events import HoldPlaced
from weighthouse.access.jobs import followers
from weighthouse.access.model import Hold
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.ids import HoldId, made_id, new_id
from weighthouse.core.work import begin, read
from weighthouse.identity.api import owing
from weighthouse.policy import api as policy

PLANTS = {
    "lifted": {"lifted": 2},
    "lifted and on something else": {"subject": "ben", "lifted": 2},
    "standing on something else": {"subject": "ben"},
    "of less": {"actions": '["weights.describe"]'},
}


@pytest.fixture
def lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Racing:
    return racing(any_database, clock, tmp_path)


def again(hold: str) -> str:
    """The id under which a hold stands again, which anybody can foretell."""
    return made_id("hld", hashlib.sha256(f"closed again\n{hold}".encode()).digest())


def plant(lab: Racing, hold: str, subject: str, kind: str, **said: object) -> None:
    """Whoever writes the database makes up a hold."""
    row = {"id": hold, "subject": subject, "kind": kind, "actions": "[]", "lifted": None, **said}
    lab.sql(
        "INSERT INTO access_hold (id, subject, kind, reason, actions, placed_by, at, lifted, lifted_by, lifted_why)"
        " VALUES (:id, :subject, :kind, 'a drill', :actions, 'system', 1, :lifted, 'chi', 'over')",
        **row,
    )


def rows(lab: Racing) -> list[tuple[str, str, int | None]]:
    with lab.system.database.engine.begin() as connection:
        found = connection.execute(text("SELECT subject, kind, lifted FROM access_hold ORDER BY at DESC"))
        return [tuple(one) for one in found]


def standing(lab: Racing) -> list[Hold]:
    with read(lab.system) as unit:
        return access.holds(unit)


def security(lab: Racing) -> str:
    with begin(lab.system) as unit:
        return access.place_hold(unit, lab.person("chi"), "ada", "bulk reads").id


def follow(lab: Racing) -> None:
    for _ in range(2):
        lab.follow()
        lab.clock.advance(MINUTE)


@pytest.mark.parametrize("planted", PLANTS)
def test_a_planted_row_keeps_no_release_open_that_a_thief_answered(lab: Racing, planted: str) -> None:
    hold = lab.hold().hold
    assert hold is not None
    (whole,) = [one.actions for one in standing(lab)]
    motion = lab.open(hold).motion.id
    sessions = {}
    for who in ("hana", "gil"):
        lab.settle()
        sessions[who] = lab.begin_session(who)
        lab.cast(who, motion)
    lab.settle()
    assert lab.close(motion).outcome == "carried" and not lab.status().held
    plant(lab, again(hold), **{"subject": "model/tern", "kind": "governance", **PLANTS[planted]})
    lab.begin_session("hana")
    lab.stop("its owner", "hana", sessions["hana"])
    follow(lab)
    assert lab.status().held and lab.told() == [("hold", "model/tern", True)]
    assert [(one.id, one.actions) for one in standing(lab) if one.kind == "governance"] == [(again(hold), whole)]
    assert rows(lab)[0] == ("model/tern", "governance", None)
    assert [one["hold"] for one in lab.facts("access.HoldPlaced")].count(again(hold)) == 1


@pytest.mark.parametrize("planted", PLANTS)
def test_a_planted_row_takes_nothing_else_along_that_a_thief_opened(lab: Racing, planted: str) -> None:
    lab.freeze("eve")
    hold = security(lab)
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.thaw("chi", "eve")
    plant(lab, again(hold), **{"subject": "ada", "kind": "security", **PLANTS[planted]})
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    follow(lab)
    assert lab.frozen("eve") and [(one.subject, one.actions) for one in standing(lab)] == [("ada", ())]
    assert sorted(lab.told()) == [("hold", "ada", True), ("person", "eve", True)]


def test_a_hold_that_stands_again_has_the_words_of_its_line_and_none_of_a_row(lab: Racing) -> None:
    hold = security(lab)
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.sql("UPDATE access_hold SET reason = 'a drill, lift it' WHERE id = :id", id=hold)
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    follow(lab)
    assert [one.reason for one in standing(lab)] == [f"{closed_again.WHY} bulk reads"]


def test_who_looked_anew_is_not_asked_again_whatever_a_row_says(lab: Racing) -> None:
    """A hold that stood again, and that its people lifted in sessions of their own, stays lifted."""
    hold = security(lab)
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    follow(lab)
    lab.begin_session("chi")
    lab.lift("chi", again(hold))
    lab.clock.advance(9 * HOUR)
    lab.sql("DELETE FROM access_hold")
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    follow(lab)
    assert (standing(lab), lab.told()) == ([], [("hold", "ada", True)])


def unsaid(lab: Racing) -> str:
    """A hold whose change failed: it is remembered and owed, and neither row nor line tells of it yet."""
    hold = Hold(id=HoldId(new_id("hld")), subject="ada", kind="security", reason="bulk reads",
                actions=("weights.export",), placed_by="chi", at=lab.clock.now())  # fmt: skip
    line = HoldPlaced(
        hold=hold.id, held=hold.subject, kind=hold.kind, actions=hold.actions, reason=hold.reason, by="chi"
    )
    with read(lab.system) as unit:
        unit.part(Refusals).place(hold, owed(unit, hold.id, line))
    return hold.id


def test_a_hold_whose_line_is_owed_when_a_thief_lifts_it_stands_again_with_all_that_it_may_stop(lab: Racing) -> None:
    hold = unsaid(lab)
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    follow(lab)
    assert [(one.subject, one.kind, one.actions) for one in standing(lab)] == [("ada", "security", ())]
    assert lab.told() == [("hold", "ada", True)]


def test_a_doubt_stands_with_its_line_whatever_is_planted_under_its_id(
    lab: Racing, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audit.Doubt(cause="edited", seen="x", detail="rows of the log were edited", lasting=False)
    monkeypatch.setattr(doubting.audit, "doubts", lambda system: [found])
    plant(lab, doubting.hold_of(found), "ben", "security", lifted=2)
    assert doubting.close_on_doubt(lab.system) == (doubting.hold_of(found),)
    assert [(one.subject, one.kind) for one in standing(lab)] == [("lab", "log")]
    assert [one["hold"] for one in lab.facts("access.HoldPlaced")] == [doubting.hold_of(found)]
    assert rows(lab) == [("lab", "log", None)]


@pytest.mark.parametrize("waits", [False, True], ids=["told", "waits"])
def test_another_servers_row_and_line_of_a_hold_are_left_as_they_are(lab: Racing, waits: bool) -> None:
    """Two servers find one doubt; people have settled it by the time that the second comes."""
    hold = doubt(lab)
    (found,) = standing(lab)
    if not waits:
        lab.settle()
    lab.sql("UPDATE access_hold SET lifted = 5 WHERE id = :id", id=hold)
    with begin(lab.system, SYSTEM) as unit:
        stand(unit, found)
    assert rows(lab) == [("lab", "log", 5)]
    assert len(lab.facts("access.HoldPlaced")) == 1


BREAKS: dict[str, str] = {
    "edited": "UPDATE identity_principal SET body = body || ' ' WHERE principal = 'eve'",
    "hidden": "DELETE FROM identity_principal WHERE principal = 'eve'",
}


def thawed(lab: Racing) -> str:
    """Eve is thawed in a thief's session of chi's, which is ended then; whether anybody follows is still to come."""
    lab.freeze("eve")
    thief = lab.begin_session("chi")
    lab.thaw("chi", "eve")
    lab.keep_states()
    assert not lab.frozen("eve")
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    return thief


@pytest.mark.parametrize("how", BREAKS)
def test_a_record_that_is_broken_for_a_moment_keeps_nobody_thawed(lab: Racing, how: str) -> None:
    thawed(lab)
    lab.sql(BREAKS[how])
    follow(lab)
    lab.put_state("eve")
    follow(lab)
    assert lab.frozen("eve") and lab.told() == [("person", "eve", True)]
    assert [one["principal"] for one in lab.facts("identity.PersonFrozen")] == ["eve", "eve"]


def refuses_writes(lab: Racing) -> Callable[[], None]:
    """Whoever rules the database lets nobody write what is known of people; call the result to end that."""
    table = "identity_principal"
    if lab.system.database.dialect == "sqlite":
        lab.sql(f"CREATE TRIGGER no BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END")
        return lambda: lab.sql("DROP TRIGGER no")
    lab.sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    lab.sql(f"CREATE TRIGGER no BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION no()")
    return lambda: lab.sql(f"DROP TRIGGER no ON {table}")


@pytest.mark.parametrize("first", ["the timer", "the follower"])
def test_a_freeze_that_no_row_takes_is_remembered_and_told_once_it_is_written(lab: Racing, first: str) -> None:
    thawed(lab)
    lab.settle()
    free = refuses_writes(lab)
    for _ in range(2):
        with pytest.raises(Exception, match="no"):
            audit.pump(lab.system, *followers)
    assert lab.frozen("eve") and lab.told() == []
    free()
    lab.clock.advance(MINUTE)
    if first == "the timer":
        assert owing.pay(lab.system) == 1
    follow(lab)
    assert owing.pay(lab.system) == 0
    assert lab.frozen("eve") and lab.told() == [("person", "eve", True)]
    assert [one["principal"] for one in lab.facts("identity.PersonFrozen")] == ["eve", "eve"]


def test_who_was_frozen_for_another_reason_since_is_not_told_of(lab: Racing) -> None:
    thawed(lab)
    lab.settle()
    lab.freeze("eve")
    Open.follow(lab)  # on PostgreSQL its line waits still
    follow(lab)
    assert lab.frozen("eve") and lab.told() == []


def test_it_is_told_once_though_the_line_that_tells_it_waits(lab: Racing) -> None:
    lab.freeze("eve")
    hold = security(lab)
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.thaw("chi", "eve")
    for how in ("security", "not me"):
        lab.begin_session("chi")
        lab.stop(how, "chi", thief)
    lab.settle()
    for follower in followers:
        while audit.pump(lab.system, follower, limit=1):
            pass
    assert sorted(lab.told()) == [("hold", "ada", True), ("person", "eve", True)]
    assert [one["hold"] for one in lab.facts("access.HoldPlaced")] == [hold, again(hold)]


def test_who_left_the_lab_since_keeps_nothing_else_from_being_closed(lab: Racing) -> None:
    """Acts of the committee are held for nobody who is in no policy; what was held for them then stands again."""
    lab.freeze("eve")
    with begin(lab.system) as unit:
        hold = access.place_hold(unit, lab.person("chi"), "ada", "bulk reads", actions=("committee.vote",)).id
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.thaw("chi", "eve")
    whole = LAB.read_text("utf-8")
    ada = whole[whole.index("  ada:\n") : whole.index("  ben:\n")]
    with begin(lab.system) as unit:
        policy.store(unit, whole.replace(ada, "").replace("    manager: ada\n", ""), "lab.yaml")
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    follow(lab)
    assert sorted(lab.told()) == [("hold", "ada", True), ("person", "eve", True)]
    assert lab.frozen("eve") and [one.actions for one in standing(lab)] == [("committee.vote",)]


@pytest.mark.parametrize("planted", ["made up", "of another"])
def test_rows_that_silence_others_keep_no_member_from_being_held_again(lab: Racing, planted: str) -> None:
    with begin(lab.system) as unit:
        hold = access.place_hold(unit, lab.person("chi"), "hana", "bulk reads").id
        other = access.place_hold(unit, lab.person("chi"), "ben", "odd reads").id
    thief = lab.begin_session("chi")
    lab.lift("chi", hold)
    lab.begin_session("chi")
    lab.stop("security", "chi", thief)
    if planted == "made up":
        plant(lab, new_id("hld"), "ivo", "security")
    else:
        lab.sql("UPDATE access_hold SET subject = 'ivo' WHERE id = :id", id=other)
    follow(lab)
    assert [one.actions for one in standing(lab) if one.subject == "hana"] == [()]


def test_a_log_that_cannot_be_read_keeps_no_hold_from_standing(lab: Racing, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> bool:
        raise Unavailable("audit.tampered", "An entry is missing.", "Restore it.")

    monkeypatch.setattr(sys.modules[stand.__module__], "was_placed", unreadable)
    security(lab)
    assert [one.subject for one in standing(lab)] == ["ada"]
