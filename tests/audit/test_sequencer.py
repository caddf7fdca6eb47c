"""PostgreSQL: one fenced sequencer that skips nothing, doubles nothing and takes nothing it did not write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.audit.support import Lab, Noted, Opened, bind_log
from weighthouse.audit import api, jobs
from weighthouse.audit.api import sequencing
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, TooMany, Unavailable, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.work import System, begin, read

Make = Callable[[Database], System]


def numbers(lab: Lab) -> list[int]:
    return [entry.data["number"] for entry in lab.entries(limit=5000, kind="test.Noted")]


def test_case_18_a_row_that_commits_after_a_later_one_is_not_skipped(postgres_lab: Lab) -> None:
    lab = postgres_lab
    lab.write(Noted(number=0))
    late = begin(lab.system)
    unit = late.__enter__()
    api.append(unit, Noted(number=1))
    # Its row is written, with the older number, but the transaction is still open.
    for act in list(unit._before):
        act()
    unit._before.clear()
    with begin(lab.system) as quick:
        api.append(quick, Noted(number=2))
    lab.settle()
    assert numbers(lab) == [0], "a later row was taken while an older one could still appear"
    late.__exit__(None, None, None)
    lab.settle()
    assert numbers(lab) == [0, 1, 2]


def test_writers_in_parallel_lose_nothing_and_double_nothing(postgres_lab: Lab) -> None:
    lab, stop = postgres_lab, threading.Event()
    lab.write(Noted(number=-1))

    def write(worker: int) -> None:
        for number in range(40):
            with begin(lab.system) as unit:
                api.append(unit, Noted(number=worker * 1000 + number))

    def take() -> None:
        while not stop.is_set():
            api.sequence(lab.system, 7)

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(6)]
    taker = threading.Thread(target=take)
    for thread in [*writers, taker]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    taker.join()
    lab.settle()
    found = numbers(lab)[1:]
    assert sorted(found) == sorted(worker * 1000 + number for worker in range(6) for number in range(40))
    for worker in range(6):  # what one writer did in order stands in order
        mine = [number for number in found if number // 1000 == worker]
        assert mine == sorted(mine)
    assert api.verify(lab.system).ok


def test_case_19_a_sequencer_that_slept_through_its_lease_is_fenced_off(
    postgres_lab: Lab, make_system: Make, clock: ManualClock, tmp_path: Path
) -> None:
    first = postgres_lab
    second = Lab(bind_log(make_system(first.system.database), tmp_path))
    old = sequencing.lead(first.system)
    assert old == 1 and sequencing.lead(second.system) is None
    first.write(Noted(number=1))
    with begin(first.system) as unit:
        api.append(unit, Noted(number=2))
    clock.advance(60_000)  # the first process stands still for a minute
    assert sequencing.lead(second.system) == 2
    with pytest.raises(Conflict) as refused:
        sequencing.drain(first.system, old)
    assert refused.value.code == "core.fenced_off"
    second.settle()
    assert numbers(first) == [1, 2]
    assert api.sequence(first.system) == 0


def test_case_19_a_forged_lease_does_not_let_an_older_number_write(postgres_lab: Lab, clock: ManualClock) -> None:
    lab = postgres_lab
    lab.sql("INSERT INTO core_lease VALUES (:n, 'other', 7, 0)", n=sequencing.LEASE)
    lab.write(Noted(number=1))  # takes over with number 8
    lab.sql("DELETE FROM core_lease")
    with begin(lab.system) as unit:
        api.append(unit, Noted(number=2))
    with pytest.raises(Unavailable) as refused:
        lab.settle()
    assert refused.value.code == "audit.fenced_off"


def test_two_sequencers_that_start_at_once_make_one_log(postgres_lab: Lab, make_system: Make, tmp_path: Path) -> None:
    labs = [postgres_lab, Lab(bind_log(make_system(postgres_lab.system.database), tmp_path))]
    for number in range(30):
        with begin(labs[0].system) as unit:
            api.append(unit, Noted(number=number))
    gate, errors = threading.Barrier(2), []

    def run(lab: Lab) -> None:
        gate.wait()
        try:
            while api.sequence(lab.system, 4):
                pass
        except WeighthouseError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(lab,)) for lab in labs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    labs[0].settle()
    assert numbers(labs[0]) == list(range(30))


def test_case_20_a_grave_change_waits_for_a_log_that_is_late_and_others_go_on(
    postgres_lab: Lab, clock: ManualClock
) -> None:
    lab = postgres_lab

    def change(name: str, fact: Event) -> None:
        with begin(lab.system) as unit:
            unit.conn.execute(text("INSERT INTO core_lease VALUES (:n, 'x', 1, 1)"), {"n": name})
            api.append(unit, fact)

    change("first", Opened())  # nothing waits
    clock.advance(MINUTE)
    change("second", Opened())  # not late yet
    clock.advance(1)
    change("plain", Noted())
    with pytest.raises(Unavailable) as refused:
        change("grave", Opened())
    assert refused.value.code == "audit.log_late" and "test.Opened" in refused.value.message
    lab.settle()
    change("again", Opened())
    lab.settle()
    made = {row[0] for row in lab.rows("SELECT name FROM core_lease")} - {"audit.sequencer"}
    assert made == {"first", "second", "plain", "again"}
    assert [entry.kind for entry in lab.entries()] == ["test.Opened", "test.Opened", "test.Noted", "test.Opened"]


def test_case_20_without_a_sequencer_changes_go_on_until_the_backlog_is_full(
    postgres_lab: Lab, clock: ManualClock, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    from weighthouse.core.settings import DECLARED, Settings

    lab = postgres_lab
    lab.system.settings = Settings(
        (*DECLARED, *api.settings),
        flags={"state": tmp_path, "mode": "development", "log.backlog": 20},
    )
    for number in range(21):
        with begin(lab.system) as unit:
            api.append(unit, Noted(number=number))
    clock.advance(HOUR)
    jobs.watch_backlog(lab.system)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert "21 log entries wait" in caplog.text
    with read(lab.system) as reading:
        assert api.backlog(reading) == api.Backlog(21, HOUR)
    with pytest.raises(TooMany) as refused, begin(lab.system) as unit:
        api.append(unit, Noted(number=99))
    assert refused.value.code == "audit.backlog_full"
    jobs.drain(lab.system)
    lab.write(Noted(number=21))
    assert numbers(lab) == list(range(22))


def test_a_row_slipped_into_the_outbox_is_kept_out_and_put_on_record(
    postgres_lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever can write rows could otherwise have any fact signed by the log itself."""
    lab = postgres_lab
    lab.write(Noted(number=1))
    leaf = lab.entries()[0].leaf.replace(b"Noted", b"Faked")
    current = "pg_current_xact_id()::text::bigint"  # a number that is not below the floor
    lab.sql(f"INSERT INTO log_outbox (xid, at, leaf, mac) VALUES ({current}, 1, :l, :m)", l=leaf, m=bytes(32))
    lab.settle()
    assert [entry.kind for entry in lab.entries()] == ["test.Noted", "audit.OutboxRefused"]
    assert "code" in lab.entries()[1].data["why"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_genuine_row_copied_back_into_the_outbox_is_not_taken_twice(postgres_lab: Lab) -> None:
    lab = postgres_lab
    with begin(lab.system) as unit:
        api.append(unit, Noted(number=1))
    columns = "xid, at, leaf, mac, lane, number, prev"
    row = lab.rows(f"SELECT {columns} FROM log_outbox")[0]
    lab.settle()
    put = f"INSERT INTO log_outbox ({columns}) VALUES (:xid, :at, :leaf, :mac, :lane, :number, :prev)"
    lab.sql(put, **row._mapping)
    lab.settle()
    assert [entry.kind for entry in lab.entries()] == ["test.Noted", "audit.OutboxRefused"]
    assert "copy" in lab.entries()[1].data["why"]
    lab.sql(put, **{**row._mapping, "xid": row.xid + 10_000})  # under another number its code no longer fits
    lab.sql("SELECT setval('log_outbox_id_seq', 900)")
    with read(lab.system) as reading:
        assert api.backlog(reading).waiting == 1
    lab.sql("UPDATE log_head SET floor = 0")
    with pytest.raises(Unavailable) as refused:
        lab.settle()
    assert refused.value.code == "audit.tampered"


def test_a_copy_into_a_cluster_that_counts_from_lower_is_refused_until_accepted(postgres_lab: Lab) -> None:
    from weighthouse.audit.api.signing import seal_head
    from weighthouse.core.caller import SYSTEM

    lab = postgres_lab
    lab.many(3)
    with begin(lab.system) as unit:  # as a server of before let through in the new cluster
        api.append(unit, Noted(number=7))
    head = lab.rows("SELECT size, root, epoch, lanes FROM log_head")[0]
    seal = seal_head(lab.system, head[0], bytes(head[1]), 2**40, head[2], head[3])
    lab.sql("UPDATE log_head SET floor = :f, seal = :s", f=2**40, s=seal)
    with pytest.raises(Unavailable, match="counts transactions from lower"):
        lab.settle()
    with pytest.raises(Unavailable, match="counts transactions from lower"), begin(lab.system) as unit:
        api.append(unit, Noted(number=9))
    api.accept_fork(lab.system, SYSTEM, "moved to a new cluster")
    lab.write(Noted(number=8))
    assert numbers(lab)[-2:] == [7, 8], "nothing is lost"
    assert api.verify(lab.system).ok
