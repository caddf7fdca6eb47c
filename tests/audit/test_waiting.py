"""Attack: stall the sequencer and make the log look on time, so that what it would tell is not missed.

The times beside waiting rows and beside the head are anybody's who writes the database; how long a line has waited is
what its own bytes and this process's own clock say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.support import Lab, Noted, Opened, bind_log
from weighthouse.audit import api, jobs
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.events import Event
from weighthouse.core.work import System, begin, read

FUTURE = 4 * 10**15
HIDE = "CREATE TABLE hidden AS SELECT * FROM log_outbox; DELETE FROM log_outbox"
SHOW = "INSERT INTO log_outbox OVERRIDING SYSTEM VALUE SELECT * FROM hidden; DROP TABLE hidden"


def write(lab: Lab, event: Event) -> None:
    with begin(lab.system) as unit:
        api.append(unit, event)


def late(lab: Lab) -> str:
    with pytest.raises(Unavailable) as refusal:
        write(lab, Opened())
    return refusal.value.code


def run(lab: Lab, statements: str) -> None:
    for one in statements.split("; "):
        lab.sql(one)


@pytest.fixture
def other(postgres_lab: Lab, make_system: Callable[[Database], System], tmp_path: Path) -> Lab:
    """Another server of the same log, which wrote nothing of what waits."""
    (tmp_path / "other").mkdir()
    return Lab(bind_log(make_system(postgres_lab.system.database), tmp_path))


def test_a_waiting_row_that_says_a_later_time_is_as_old_as_its_bytes(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    write(postgres_lab, Noted(number=1))
    postgres_lab.sql("UPDATE log_outbox SET at = :at", at=FUTURE)
    clock.advance(2 * MINUTE)
    for lab in (postgres_lab, other):
        assert late(lab) == "audit.log_late"
        assert api.waited(lab.system) == 2 * MINUTE
        with read(lab.system) as unit:
            assert api.backlog(unit).oldest == 2 * MINUTE
    postgres_lab.settle()
    for lab in (postgres_lab, other):
        assert api.waited(lab.system) == 0
        lab.write(Opened())


def test_a_waiting_row_whose_bytes_are_edited_is_as_old_as_it_was_seen(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    write(postgres_lab, Noted(number=1))
    assert api.waited(other.system) == 0
    for _ in range(4):
        postgres_lab.sql("UPDATE log_outbox SET at = :at, leaf = convert_to('{}', 'UTF8')", at=FUTURE)
        clock.advance(MINUTE // 2)
        api.waited(other.system)
    assert api.waited(other.system) == 2 * MINUTE
    assert late(other) == "audit.log_late"


def test_a_row_that_is_out_of_sight_for_a_moment_is_not_new(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    write(postgres_lab, Noted(number=1))
    postgres_lab.sql("UPDATE log_outbox SET at = :at", at=FUTURE)
    for _ in range(4):
        api.waited(other.system)
        clock.advance(MINUTE // 4)
        run(postgres_lab, HIDE)
        assert api.waited(other.system) > 0
        clock.advance(MINUTE // 4)
        run(postgres_lab, SHOW)
    run(postgres_lab, HIDE)
    assert late(other) == "audit.log_late", "while it is hidden, too"


def test_a_row_that_nobody_wrote_is_forgotten_with_it(postgres_lab: Lab, other: Lab, clock: ManualClock) -> None:
    lab = postgres_lab
    lab.sql("INSERT INTO log_outbox (xid, at, leaf, mac, lane, number) VALUES (1, 1, '{}', '', 'wri_x.1', 7)")
    assert api.waited(other.system) == 0
    clock.advance(2 * MINUTE)
    assert api.waited(other.system) == 2 * MINUTE
    lab.sql("DELETE FROM log_outbox")
    assert api.waited(other.system) == 0
    other.write(Opened())


def test_a_head_that_says_a_later_time_is_as_old_as_its_size(postgres_lab: Lab, clock: ManualClock) -> None:
    lab = postgres_lab
    jobs.beat(lab.system)
    lab.settle()
    lab.write(Opened())
    with read(lab.system) as unit:
        assert api.overdue(unit) == 0, "as the timer looks every few seconds"
    lab.sql("UPDATE log_head SET at = :at", at=FUTURE)
    clock.advance(60 * MINUTE)
    assert late(lab) == "audit.log_late"
