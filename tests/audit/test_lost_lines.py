"""Attack: a line vanishes between its commit and its place in the log, so that an act is answered with OK and untold.

By a trigger that swallows it, or by stalling the sequencer and deleting what waits. Each of those who must miss it is
tried alone: the transaction itself, the next one, the process, the sequencer, the next process, and the whole check.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.support import Lab, Noted, Opened, bind_log
from weighthouse.audit import api, jobs
from weighthouse.audit.adapters.acknowledged import FileLines
from weighthouse.audit.api import lanes
from weighthouse.audit.ports import LineMemory
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.events import Event
from weighthouse.core.work import System, begin, read

Make = Callable[[Database], System]
SWALLOW = {
    "sqlite": "CREATE TRIGGER swallow BEFORE INSERT ON log_entry WHEN NEW.kind = 'test.Noted' "
    "BEGIN SELECT RAISE(IGNORE); END",
    "postgresql": "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF position('test.Noted'::bytea in NEW.leaf) > 0 THEN RETURN NULL; END IF; RETURN NEW; END $$; "
    "CREATE TRIGGER swallow BEFORE INSERT ON log_outbox FOR EACH ROW EXECUTE FUNCTION swallow()",
}


def write(lab: Lab, event: Event) -> None:
    """Write one line and leave it to wait: the sequencer is stalled."""
    with begin(lab.system) as unit:
        api.append(unit, event)


def refused(lab: Lab, event: Event) -> str:
    with pytest.raises(Unavailable) as refusal:
        write(lab, event)
    return refusal.value.code


def lost(lab: Lab) -> list[tuple[int, int]]:
    lab.settle()
    return [(one.data["first"], one.data["last"]) for one in lab.entries(kind="audit.LinesLost")]


def test_a_change_whose_line_is_swallowed_does_not_happen_and_leaves_one_line(any_lab: Lab) -> None:
    lab = any_lab
    lab.write(Noted(number=0))
    lab.sql(SWALLOW[lab.dialect])
    with pytest.raises(Unavailable) as refusal, begin(lab.system) as unit:
        unit.conn.exec_driver_sql("INSERT INTO core_high_water (id, at) VALUES (7, 1)")
        api.append(unit, Noted(number=1))
    assert refusal.value.code == "audit.line_not_kept"
    assert lab.rows("SELECT count(*) FROM core_high_water WHERE id = 7")[0][0] == 0
    lab.settle()
    assert [entry.kind for entry in lab.entries()] == ["test.Noted", "audit.LineNotKept"]


def test_a_deleted_line_is_missed_by_the_next_unit(postgres_lab: Lab) -> None:
    lab = postgres_lab
    write(lab, Noted(number=1))
    lab.sql("DELETE FROM log_outbox")
    assert refused(lab, Noted(number=2)) == "audit.lines_lost"
    assert lost(lab) == [(1, 1)]
    write(lab, Noted(number=3))  # what is not grave goes on
    assert refused(lab, Opened()) == "audit.lines_lost"
    report = api.verify(lab.system)
    assert not report.ok and "were committed and are nowhere" in report.problems[0].what
    with pytest.raises(Unavailable, match="lost"):
        api.start(lab.system)


def test_a_grave_act_misses_a_deleted_line_of_any_lane(postgres_lab: Lab) -> None:
    lab = postgres_lab
    with begin(lab.system) as first:  # holds its lane until it is over, so that the next one takes another
        api.append(first, Noted(number=1))
        for act in list(first._before):
            act()
        first._before.clear()
        write(lab, Noted(number=2))
    lab.sql("DELETE FROM log_outbox WHERE number = 1 AND id = (SELECT max(id) FROM log_outbox)")
    assert refused(lab, Opened()) == "audit.lines_lost"


def test_a_deleted_line_is_missed_by_its_process_though_nothing_follows(postgres_lab: Lab) -> None:
    lab = postgres_lab
    lab.write(Noted(number=0))
    for number in range(3):
        write(lab, Noted(number=number))
    assert api.watch_lines(lab.system) == 0
    lab.sql("DELETE FROM log_outbox WHERE number = 4")
    assert api.watch_lines(lab.system) == 1
    assert api.watch_lines(lab.system) == 0
    assert lost(lab) == [(2, 4)]


def test_a_line_deleted_before_another_is_missed_by_the_sequencer(postgres_lab: Lab) -> None:
    lab = postgres_lab
    for number in range(4):
        write(lab, Noted(number=number))
    lab.sql("DELETE FROM log_outbox WHERE number IN (2, 3)")
    assert lost(lab) == [(2, 3)]
    assert [entry.kind for entry in lab.entries()] == ["test.Noted", "audit.LinesLost", "test.Noted"]
    assert not api.verify(lab.system).ok
    assert refused(lab, Opened()) == "audit.lines_lost"


def test_a_line_edited_while_it_waits_is_kept_out_and_counted_as_lost(postgres_lab: Lab) -> None:
    lab = postgres_lab
    for number in range(2):
        write(lab, Noted(number=number))
    lab.sql("UPDATE log_outbox SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'), '0', '7'), 'UTF8') "
            "WHERE number = 1")  # fmt: skip
    lab.settle()
    assert [entry.kind for entry in lab.entries()] == ["audit.OutboxRefused", "audit.LinesLost", "test.Noted"]


def test_a_line_lost_with_its_process_is_missed_by_the_next_one(
    postgres_lab: Lab, make_system: Make, tmp_path: Path
) -> None:
    lab = postgres_lab
    lab.system.bind(LineMemory, FileLines(tmp_path / "lines"))
    write(lab, Noted(number=1))
    died = tmp_path / "after" / "lines"
    died.parent.mkdir()
    (tmp_path / "lines").rename(died)  # its lock is of the file, so a copy stands for what a dead process left
    copied = died.parent / "copy"
    copied.mkdir()
    for file in died.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    lab.sql("DELETE FROM log_outbox")
    after = Lab(bind_log(make_system(lab.system.database), tmp_path))
    after.system.bind(LineMemory, FileLines(copied))
    with pytest.raises(Unavailable, match="nowhere"):
        api.start(after.system)
    assert api.watch_lines(after.system) == 1
    assert lost(after) == [(1, 1)]
    again = Lab(bind_log(make_system(lab.system.database), tmp_path))
    again.system.bind(LineMemory, FileLines(copied))
    assert refused(again, Opened()) == "audit.lines_lost", "over a restart"


def test_a_process_that_ended_in_order_leaves_nothing_that_is_missed(
    postgres_lab: Lab, make_system: Make, tmp_path: Path
) -> None:
    lab = postgres_lab
    lab.system.bind(LineMemory, FileLines(tmp_path / "lines"))
    lab.write(Noted(number=1), Noted(number=2))
    copied = tmp_path / "copy"
    copied.mkdir()
    for file in (tmp_path / "lines").iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    after = Lab(bind_log(make_system(lab.system.database), tmp_path))
    after.system.bind(LineMemory, FileLines(copied))
    api.start(after.system)
    assert api.watch_lines(after.system) == 0
    assert list(copied.glob("lan_*")) == []


def test_the_ceremony_accepts_what_is_lost_and_all_goes_on(postgres_lab: Lab) -> None:
    lab = postgres_lab
    write(lab, Noted(number=1))
    lab.sql("DELETE FROM log_outbox")
    assert api.watch_lines(lab.system) == 1
    lab.settle()
    api.accept_fork(lab.system, SYSTEM, "the database was written to; we know by whom")
    lab.write(Opened())
    assert api.verify(lab.system).ok
    api.start(lab.system)


def test_a_change_that_fails_leaves_no_gap(postgres_lab: Lab) -> None:
    lab = postgres_lab
    write(lab, Noted(number=1))
    with pytest.raises(ZeroDivisionError), begin(lab.system) as unit:
        api.append(unit, Noted(number=2))
        unit.before_commit(lambda: 1 / 0)
    write(lab, Noted(number=3))
    lab.settle()
    assert [entry.data["number"] for entry in lab.entries()] == [1, 3]
    assert api.verify(lab.system).ok


def test_a_head_whose_lanes_were_edited_is_refused(postgres_lab: Lab) -> None:
    lab = postgres_lab
    lab.write(Noted(number=1))
    lab.sql("UPDATE log_head SET lanes = replace(lanes, :before, :after)", before='"lost":0', after='"lost":1')
    with begin(lab.system) as unit, pytest.raises(Unavailable, match="floor"):
        lanes.known(unit)


def test_an_outbox_through_which_no_heartbeat_comes_is_not_on_time(postgres_lab: Lab, clock: ManualClock) -> None:
    lab = postgres_lab
    jobs.beat(lab.system)
    lab.settle()
    lab.write(Opened())
    clock.advance(HOUR)
    assert refused(lab, Opened()) == "audit.log_late"
    jobs.beat(lab.system)
    lab.settle()
    lab.write(Opened())


def test_a_sequencer_that_may_not_sign_makes_room_for_another(
    postgres_lab: Lab, make_system: Make, tmp_path: Path
) -> None:
    first = postgres_lab
    first.write(Noted(number=1))
    second = Lab(bind_log(make_system(first.system.database), tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bind_log(first.system, elsewhere)  # its memory is gone
    write(second, Noted(number=2))
    with pytest.raises(Unavailable) as refusal:
        api.sequence(first.system)
    assert refusal.value.code == "audit.memory_missing"
    assert api.sequence(second.system) == 1
    with read(second.system) as unit:
        assert api.head(unit).size == 2
