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
from weighthouse.audit.api import waiting
from weighthouse.audit.store import outbox
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.events import Event
from weighthouse.core.work import System, begin, read

FUTURE = 4 * 10**15
FAR = 2**60
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
        assert waiting.waited(lab.system) == 2 * MINUTE
        with read(lab.system) as unit:
            assert api.backlog(unit).oldest == 2 * MINUTE
    postgres_lab.settle()
    for lab in (postgres_lab, other):
        assert waiting.waited(lab.system) == 0
        lab.write(Opened())


def test_a_waiting_row_whose_bytes_are_edited_is_as_old_as_it_was_seen(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    write(postgres_lab, Noted(number=1))
    assert waiting.waited(other.system) == 0
    for _ in range(4):
        postgres_lab.sql("UPDATE log_outbox SET at = :at, leaf = convert_to('{}', 'UTF8')", at=FUTURE)
        clock.advance(MINUTE // 2)
        waiting.waited(other.system)
    assert waiting.waited(other.system) == 2 * MINUTE
    assert late(other) == "audit.log_late"


def test_a_row_that_is_out_of_sight_for_a_moment_is_not_new(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    write(postgres_lab, Noted(number=1))
    postgres_lab.sql("UPDATE log_outbox SET at = :at", at=FUTURE)
    for _ in range(4):
        waiting.waited(other.system)
        clock.advance(MINUTE // 4)
        run(postgres_lab, HIDE)
        assert waiting.waited(other.system) > 0
        clock.advance(MINUTE // 4)
        run(postgres_lab, SHOW)
    run(postgres_lab, HIDE)
    assert late(other) == "audit.log_late", "while it is hidden, too"


def test_a_row_that_nobody_wrote_is_forgotten_soon_after_it_is_gone(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    lab = postgres_lab
    lab.sql("INSERT INTO log_outbox (xid, at, leaf, mac, lane, number) VALUES (1, 1, '{}', '', 'wri_x.1', 7)")
    assert waiting.waited(other.system) == 0
    clock.advance(2 * MINUTE)
    assert waiting.waited(other.system) == 2 * MINUTE
    lab.sql("DELETE FROM log_outbox")
    assert late(other) == "audit.log_late", "one that is taken away and put there again is not new"
    clock.advance(2 * MINUTE + 1)
    assert waiting.waited(other.system) == 0
    other.write(Opened())


def starve(lab: Lab, turn: int) -> None:
    """What no sequencer will ever take: waiting lines of a number that no transaction has, and forged rows with used
    numbers in front of every lane, new ones at each turn."""
    lab.sql("UPDATE log_outbox SET xid = :far WHERE xid < :far", far=FAR)
    lab.sql("DELETE FROM log_outbox WHERE leaf = 'x'")
    for number in (1,) if turn % 2 else (1, 0):
        lab.sql(
            "INSERT INTO log_outbox (at, xid, leaf, mac, lane, number, prev) "
            "SELECT 0, :far, 'x', 'x', lane, :number, 'x' FROM (SELECT DISTINCT lane FROM log_outbox) AS found",
            far=FAR,
            number=number,
        )


def test_lines_that_the_sequencer_never_takes_are_late_at_every_server(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    postgres_lab.write(Noted(number=1))
    write(postgres_lab, Noted(number=3))
    for turn in range(8):
        starve(postgres_lab, turn)
        write(other, Noted(number=4))
        postgres_lab.settle()  # the log goes on with what is not starved
        for lab in (postgres_lab, other):
            waiting.waited(lab.system)
        clock.advance(MINUTE // 6)
    for lab in (postgres_lab, other):
        assert late(lab) == "audit.log_late"
        with read(lab.system) as unit:
            assert any("this software did not write" in one for one in api.condition(unit).problems)
    assert 3 not in [entry.data.get("number") for entry in other.entries()]


def test_a_server_is_late_by_what_it_has_written_though_no_row_is_shown_to_it(
    postgres_lab: Lab, clock: ManualClock
) -> None:
    lab = postgres_lab
    lab.write(Noted(number=1))
    write(lab, Noted(number=2))
    run(lab, HIDE)
    clock.advance(MINUTE // 2)
    assert waiting.waited(lab.system) == MINUTE // 2, "the line was committed and has not come"
    run(lab, SHOW)
    lab.settle()
    assert waiting.waited(lab.system) == 0
    lab.write(Opened())


def test_a_copy_of_a_line_in_the_log_hides_no_line_behind_it(
    postgres_lab: Lab, other: Lab, clock: ManualClock
) -> None:
    write(postgres_lab, Noted(number=1))
    postgres_lab.sql("CREATE TABLE kept AS SELECT * FROM log_outbox")
    postgres_lab.settle()
    write(postgres_lab, Noted(number=2))
    postgres_lab.sql("UPDATE log_outbox SET at = :at", at=FUTURE)
    postgres_lab.sql("INSERT INTO log_outbox OVERRIDING SYSTEM VALUE SELECT * FROM kept")
    assert waiting.waited(other.system) == 0
    clock.advance(MINUTE + 1)
    assert waiting.waited(other.system) == MINUTE + 1
    assert late(other) == "audit.log_late"


def test_a_flood_of_forged_rows_costs_no_more_than_a_few(postgres_lab: Lab) -> None:
    lab = postgres_lab
    lab.sql(
        "INSERT INTO log_outbox (at, xid, leaf, mac, lane, number, prev) "
        "SELECT 0, :far, 'x', 'x', 'wri_x.' || n, n, 'x' FROM generate_series(1, 20000) AS n",
        far=FAR,
    )
    lab.sql("ANALYZE log_outbox")
    write(lab, Noted(number=1))
    with read(lab.system) as unit:
        rows = outbox.ends(unit.conn, waiting.LOOKED_AT)
        assert outbox.waiting(unit.conn, 7) == 7
    assert len(rows) == 2 * waiting.LOOKED_AT and any(row.xid < FAR for row in rows)
    plan = "\n".join(row[0] for row in lab.rows("EXPLAIN " + outbox.ENDS.text, most=waiting.LOOKED_AT))
    assert "Seq Scan" not in plan


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
