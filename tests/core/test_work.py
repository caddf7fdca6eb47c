"""A change and its record are one transaction, and a refusal is a fact too."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import BigInteger, Column, Table, Text, insert, select

from weighthouse.core import jobs
from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, Millis, SystemClock
from weighthouse.core.database import Database, metadata
from weighthouse.core.errors import Conflict, Denied, Unavailable
from weighthouse.core.events import Event
from weighthouse.core.settings import Settings
from weighthouse.core.work import Recorder, System, TimeKeeper, Unit, begin, read

things = Table(
    "test_thing", metadata, Column("id", BigInteger, primary_key=True), Column("name", Text, nullable=False)
)


class Refused(Event):
    KIND: ClassVar[str] = "test.Refused"
    why: str


@pytest.fixture
def recorded(any_system: System) -> list[Event]:
    kept: list[Event] = []
    any_system.bind(Recorder, lambda unit, event: kept.append(event))
    return kept


@pytest.fixture
def any_system(make_system: Callable[[Database], System], any_database: Database) -> System:
    return make_system(any_database)


def names(system: System) -> list[str]:
    with read(system) as unit:
        return [row[0] for row in unit.conn.execute(select(things.c.name).order_by(things.c.id))]


def test_a_change_commits_when_the_unit_ends(any_system: System) -> None:
    with begin(any_system) as unit:
        unit.conn.execute(insert(things).values(id=1, name="kept"))
    assert names(any_system) == ["kept"]


def test_a_refusal_rolls_back_the_change_and_commits_its_record_once(
    any_system: System, recorded: list[Event]
) -> None:
    with pytest.raises(Denied) as caught, begin(any_system) as unit:
        unit.conn.execute(insert(things).values(id=1, name="half"))
        raise Denied("test.no", "No.", "Do not.", record=[Refused(why="no")])
    assert names(any_system) == []
    assert recorded == [Refused(why="no")]
    assert caught.value.record == ()


def test_a_refusal_while_reading_is_recorded_too(any_system: System, recorded: list[Event]) -> None:
    with pytest.raises(Denied), read(any_system):
        raise Denied("test.no", "No.", "Do not.", record=[Refused(why="no")])
    assert recorded == [Refused(why="no")]


def test_a_refusal_without_a_recorder_still_refuses(any_system: System) -> None:
    with pytest.raises(Unavailable, match="Recorder"), begin(any_system):
        raise Denied("test.no", "No.", "Do not.", record=[Refused(why="no")])


def test_r8_what_fails_after_a_commit_turns_no_change_into_an_error(
    any_system: System, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    with begin(any_system) as unit:
        unit.conn.execute(insert(things).values(id=77, name="durable"))
        unit.after_commit(lambda: [].pop())
        unit.after_commit(lambda: done.append("the rest"))
    with read(any_system) as unit:
        assert unit.conn.execute(select(things.c.name).where(things.c.id == 77)).scalar() == "durable"
    assert done == ["the rest"] and "the change itself stands" in caplog.text


def test_work_before_commit_is_part_of_the_transaction(any_system: System) -> None:
    def fail() -> None:
        raise Conflict("test.late", "Late.", "Again.")

    with pytest.raises(Conflict), begin(any_system) as unit:
        unit.conn.execute(insert(things).values(id=1, name="half"))
        unit.before_commit(fail)
    assert names(any_system) == []


def test_a_clock_that_steps_back_does_not_take_time_back(any_system: System, clock: ManualClock) -> None:
    with begin(any_system) as unit:
        first = unit.now
    clock.set(first - HOUR)
    with begin(any_system) as unit:
        assert (unit.now, unit.clock_suspect) == (first, True)


def test_data_case_4_the_high_water_time_outlives_the_process(
    any_system: System, make_system: Callable[[Database], System], clock: ManualClock
) -> None:
    clock.advance(HOUR)
    with begin(any_system) as unit:
        first = unit.now
    clock.set(first - HOUR)
    again = make_system(any_system.database)
    with begin(again) as unit:
        assert (unit.now, unit.clock_suspect) == (first, True)


@pytest.mark.parametrize("hours", [25, -25])
def test_a_database_hours_apart_from_this_machine_ends_things_and_begins_none(clock: ManualClock, hours: int) -> None:
    """Attack: whoever rules the database sets its clock a day ahead, and a young key would count."""
    keeper = TimeKeeper(clock, 0)
    now, trouble = keeper.read(clock.now() + hours * HOUR)
    assert (now, trouble) == (clock.now() + max(0, hours) * HOUR, "apart")
    assert keeper.sound == 0


def test_what_begins_waits_for_a_time_that_is_sure(any_system: System, clock: ManualClock) -> None:
    with begin(any_system) as unit:
        first = unit.now
    clock.set(first + 25 * HOUR)
    with begin(any_system) as unit:
        assert (unit.now, unit.sure) == (first + 25 * HOUR, first)
    clock.set(first)
    clock.advance(26 * HOUR)
    with begin(any_system) as unit:
        assert unit.sure == unit.now == first + 26 * HOUR


def test_data_case_4_a_leap_ahead_is_marked(any_system: System, clock: ManualClock) -> None:
    with begin(any_system) as unit:
        assert not unit.clock_suspect
        first = unit.now
    clock.set(first + 24 * HOUR)
    with read(any_system) as unit:
        assert (unit.now, unit.clock_suspect) == (first + 24 * HOUR, True)


def test_a_leap_that_is_taken_back_is_over_by_itself(any_system: System, clock: ManualClock) -> None:
    with begin(any_system) as unit:
        first = unit.now
    clock.set(first + HOUR)
    with begin(any_system) as unit:
        assert unit.clock_trouble == "ahead"
    clock.set(first)
    with begin(any_system) as unit:
        assert unit.clock_trouble == "behind", "what was ended in that hour stays ended"
    clock.advance(HOUR)
    with begin(any_system) as unit:
        assert (unit.clock_trouble, unit.now) == ("", first + HOUR)


def test_a_wrong_second_of_another_year_does_not_outlive_the_process(
    any_system: System, make_system: Callable[[Database], System], clock: ManualClock
) -> None:
    with begin(any_system) as unit:
        first = unit.now
        assert jobs.acquire(unit, "sequencer", "one", 10_000) == 1
    clock.set(first + 3650 * DAY)
    with begin(any_system) as unit:
        assert unit.clock_trouble == "ahead"
        assert jobs.acquire(unit, "sequencer", "one", 10_000) == 1
    clock.set(first)
    clock.advance(MINUTE)
    with begin(any_system):
        pass
    with begin(make_system(any_system.database)) as unit:
        assert (unit.clock_trouble, unit.now) == ("", first + MINUTE)
        assert jobs.acquire(unit, "sequencer", "two", 10_000) == 2, "a lease of that year is nobody's"


def test_a_clock_that_stepped_far_back_goes_on_with_the_time_that_passes(
    any_system: System, clock: ManualClock
) -> None:
    with begin(any_system) as unit:
        first = unit.now
    clock.advance(MINUTE)
    clock.set(first - DAY)
    with begin(any_system) as unit:
        assert (unit.clock_trouble, unit.now) == ("late", first + MINUTE)
    clock.set(first + MINUTE)
    with begin(any_system) as unit:
        assert unit.clock_trouble == ""


def test_a_machine_that_slept_has_not_leapt() -> None:
    """Where Linux tells of sleep at all, the clock that leaps are measured by counts it."""
    own = time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000
    assert abs(SystemClock().monotonic() - own) < SECOND


class Skewed(SystemClock):
    """The clock of a machine that is wrong by so much."""

    def __init__(self, by: Millis) -> None:
        self._by = by

    def now(self) -> Millis:
        return super().now() + self._by


def test_data_case_5_servers_whose_clocks_differ_read_one_time(postgres_url: str, tmp_path: Path) -> None:
    """Each server's machine is wrong, one by an hour; the time of every unit is the database's, and none is suspect."""
    database = Database(postgres_url)
    database.create_all()
    settings = Settings(flags={"state": tmp_path})
    servers = [System(settings, Skewed(by), database) for by in (0, -3 * SECOND, 3 * SECOND, -HOUR, HOUR)]
    readings: list[Millis] = []
    for server in [*servers, *servers]:
        with read(server) as unit:
            readings.append(unit.now)
            assert not unit.clock_suspect
    assert readings == sorted(readings), "a later decision was made at an earlier time"
    database.close()


def test_data_case_19_a_leader_that_was_paused_is_fenced_off(any_system: System, clock: ManualClock) -> None:
    with begin(any_system) as unit:
        assert jobs.acquire(unit, "sequencer", "one", 10_000) == 1
        assert jobs.acquire(unit, "sequencer", "two", 10_000) is None
    clock.advance(60_000)
    with begin(any_system) as unit:
        assert jobs.acquire(unit, "sequencer", "two", 10_000) == 2
    with pytest.raises(Conflict) as caught, begin(any_system) as unit:
        jobs.check_fencing(unit, "sequencer", 1)
    assert caught.value.code == "core.fenced_off"


def test_a_busy_database_is_an_error_with_a_remedy_not_a_traceback(system: System) -> None:
    def hold(unit: Unit) -> None:
        with begin(system):
            raise AssertionError("two writers at once")

    system.database.engine.connect().close()
    with begin(system) as unit, pytest.raises(Unavailable) as caught:
        unit.conn.exec_driver_sql("SELECT 1")
        hold(unit)
    assert caught.value.code == "core.database_unavailable"
    assert "busy" in caught.value.message


def test_a_database_whose_clock_stands_still_or_goes_back_holds_no_time_up(clock: ManualClock) -> None:
    """Whoever rules the database rules its clock too; with it an ended grant would live on."""
    keeper = TimeKeeper(clock, clock.now())
    frozen = clock.now()
    assert keeper.read(frozen) == (frozen, "")
    clock.advance(MINUTE)
    assert keeper.read(frozen + 1) == (frozen + 1, ""), "a little apart is what clocks are"
    clock.advance(HOUR)
    assert keeper.read(frozen) == (clock.now(), "late"), "time goes on, and no new grant is issued from such a clock"
    restarted = TimeKeeper(clock, 0)
    assert restarted.read(frozen - 2 * HOUR) == (clock.now(), "apart")
