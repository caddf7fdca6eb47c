"""Attack: lose or hide a member's call for a hold, and export before a timer finds that enough have called (case 53).

Every point of a release asks for the calls themselves: the memory beside the database, the log and the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.governance.conftest import Committee
from tests.governance.nine import Nine
from tests.governance.test_release_hold import DESTINATION, export, export_of
from tests.weights.world import TERN
from weighthouse.access import api as access
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.api import owing
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.governance.jobs import timers
from weighthouse.weights import api as weights

SWALLOW = """
CREATE TRIGGER swallow BEFORE INSERT ON log_entry
WHEN NEW.kind IN ('governance.HoldCalled', 'access.HoldPlaced', 'governance.HoldPlaced')
BEGIN SELECT RAISE(IGNORE); END
"""
ADVISORY = f"SELECT pg_advisory_xact_lock(hashtextextended('governance hold {TERN}', 0))"
LOST = "DELETE FROM governance_call"


@pytest.fixture
def nine(postgres_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[Nine]:
    database = Database(postgres_url)
    database.create_all()
    yield Nine(database, clock, tmp_path)
    database.close()


def fails(act: Callable[[], object], code: str = "audit.line_not_kept") -> None:
    with pytest.raises(WeighthouseError) as lost:
        act()
    assert lost.value.code == code and lost.value.message.endswith(owing.STANDS)


def in_haste(nine: Nine, who: str) -> None:
    """Call for a hold as a member who waits for no lock."""
    caller = nine.person(who)
    with begin(nine.system, caller) as unit:
        unit.conn.execute(text("SET LOCAL lock_timeout = '200ms'"))
        api.place_release_hold(unit, caller, TERN, "The evaluation is not finished.")


def refused(committee: Committee, act: Callable[[], object]) -> str:
    """The code with which an act is refused, with exactly one line."""
    before = len(committee.facts("access.Denied"))
    with pytest.raises(Denied) as refusal:
        act()
    while audit.sequence(committee.system):
        pass
    lines = committee.facts("access.Denied")
    assert len(lines) == before + 1 and lines[-1]["code"] == refusal.value.code
    return refusal.value.code


def asked(committee: Committee, version: weights.Version) -> access.Request:
    eve = committee.person("eve")
    with begin(committee.system, eve) as unit:
        return access.submit(
            unit,
            eve,
            entitlement="tern-export",
            resource=TERN,
            duration=60 * MINUTE,
            reason="The partner waits for it.",
            operation={"version": version.id, "destination": DESTINATION},
        )


def test_two_calls_that_the_database_lost_refuse_every_point_of_a_release_before_any_timer(
    committee: Committee,
) -> None:
    _, version = export_of(committee)
    committee.sql(SWALLOW)
    fails(lambda: committee.hold("hana"))
    assert not committee.status().held
    fails(lambda: committee.hold("ivo"))
    assert committee.facts("governance.HoldCalled") == committee.facts("access.HoldPlaced") == []
    assert committee.sql(LOST) == 0
    assert committee.status().held
    assert refused(committee, lambda: export(committee, version.id)) == "access.held"
    assert refused(committee, lambda: asked(committee, version)) == "access.held"


@pytest.mark.parametrize("lock", ["LOCK TABLE governance_call IN EXCLUSIVE MODE", ADVISORY])
def test_calls_that_meet_a_lock_hold_a_release_all_the_same(nine: Nine, lock: str) -> None:
    _, version = export_of(nine)
    with nine.system.database.engine.begin() as connection:
        connection.execute(text(lock))
        fails(lambda: in_haste(nine, "hana"), "core.database_unavailable")
        assert not nine.status().held
        fails(lambda: in_haste(nine, "ivo"), "core.database_unavailable")
        assert nine.status().held
        assert refused(nine, lambda: export(nine, version.id)) == "access.held"
    assert [timer.run(nine.system) for timer in timers] in ([1], [0])
    assert nine.status().hold is not None


def test_calls_that_suffice_but_bound_nothing_refuse_export_asking_and_approval(nine: Nine) -> None:
    _, version = export_of(nine)
    open_request = asked(nine, version)
    nine.hold("hana")
    nine.sql(LOST)
    nine.elsewhere()
    nine.hold("ivo")
    nine.sql(LOST)
    nine.settle()
    status = nine.status()
    assert (status.held, status.hold, status.called_by) == (True, None, ("hana", "ivo"))
    assert refused(nine, lambda: export(nine, version.id)) == "access.held"
    assert refused(nine, lambda: asked(nine, version)) == "access.held"
    nine.approve("ben", open_request.id)
    nine.approve("chi", open_request.id)
    assert refused(nine, lambda: nine.approve("gil", open_request.id)) == "access.held"


def test_a_row_of_another_servers_call_counts_before_the_log_tells_of_it(nine: Nine) -> None:
    _, version = export_of(nine)
    nine.hold("hana")
    with begin(nine.system) as unit:
        assert not access.called(unit, TERN)
    ivo = nine.person("ivo")
    nine.elsewhere()
    with begin(nine.system, ivo) as unit:
        access.keep_call(unit, access.HoldCall(model=TERN, member="ivo", reason="Wait.", at=unit.now))
    assert refused(nine, lambda: export(nine, version.id)) == "access.held"


def test_a_call_whose_row_was_deleted_makes_the_next_one_bind_though_the_log_is_late(nine: Nine) -> None:
    nine.hold("hana")
    nine.sql(LOST)
    assert nine.hold("ivo").hold is not None


def test_what_a_lost_call_owes_the_log_is_written_once(committee: Committee) -> None:
    committee.sql(SWALLOW)
    fails(lambda: committee.hold("hana"))
    assert committee.facts("governance.HoldCalled") == []
    committee.sql("DROP TRIGGER swallow")
    committee.clock.advance(2 * MINUTE)
    assert [owing.pay(committee.system) for _ in range(2)] == [1, 0]
    (line,) = committee.facts("governance.HoldCalled")
    assert line["member"] == "hana"
    assert committee.hold("ivo").called_by == ("hana", "ivo")


def test_one_call_alone_and_an_old_one_refuse_nothing(committee: Committee) -> None:
    _, version = export_of(committee)
    committee.hold("hana")
    assert export(committee, version.id).version == version.id
    committee.clock.advance(8 * DAY)
    assert not committee.hold("ivo").held


def test_calls_are_spent_with_the_hold_that_they_led_to(committee: Committee) -> None:
    _, version = export_of(committee)
    committee.hold("hana")
    motion = committee.open(str(committee.hold("ivo").hold)).motion.id
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    committee.close(motion)
    assert export(committee, version.id).version == version.id


@pytest.mark.parametrize("forgetful", [False, True])
def test_rows_of_answered_calls_bring_back_no_hold_that_the_committee_lifted(
    committee: Committee, forgetful: bool
) -> None:
    _, version = export_of(committee)
    committee.hold("hana")
    motion = committee.open(str(committee.hold("ivo").hold)).motion.id
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    committee.close(motion)
    committee.clock.advance(MINUTE)
    if forgetful:  # as another server, which knows by the log alone
        committee.system.bind(Refusals, FileRefusals(committee.state / "elsewhere.memory"))  # type: ignore[type-abstract]
    assert committee.sql("UPDATE governance_call SET hold = NULL") == 2
    assert [timer.run(committee.system) for timer in timers] == [0]
    assert (committee.status().held, committee.status().called_by) == (False, ())
    assert export(committee, version.id).version == version.id
    assert len(committee.facts("governance.HoldPlaced")) == 1


def test_a_memory_keeps_calls_over_a_restart_without_the_words_of_their_members(tmp_path: Path) -> None:
    kept = FileRefusals(tmp_path / "r")
    kept.call(access.HoldCall(id="cll_1", model=TERN, member="hana", reason="private words", at=5))
    assert [one.member for one in FileRefusals(tmp_path / "r").calls(TERN)] == ["hana"]
    assert "private words" not in (tmp_path / "r").read_text()
