"""The database at its worst: busy, exhausted, ended, shared between machines. The answer is no, in time, and whole."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import psycopg.errors
import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError

from weighthouse.core import database as databases
from weighthouse.core import machine, shape, store, volume
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Invalid, Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read, retry

MOUNTS = """22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
23 22 0:50 / /srv rw - nfs4 server:/export rw
24 22 8:2 / /srv/local\\040disk rw shared:1 - xfs /dev/sdb1 rw
25 22 0:60 / /mnt rw - ext4 /dev/sdc rw
26 25 0:61 / /mnt rw - fuse.sshfs far:/ rw
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/lab/state", "nfs4"),
        ("/srv/local disk/state", "xfs"),
        ("/srvother", "ext4"),
        ("/mnt/x", "fuse.sshfs"),
    ],
)
def test_data_case_23_the_volume_under_a_path_is_found(tmp_path: Path, place: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert volume.filesystem_of(Path(place), mounts) == kind
    assert volume.filesystem_of(Path(place), tmp_path / "none") == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "virtiofs", "fuse.sshfs"])
def test_data_case_23_a_file_on_a_shared_volume_is_refused_at_start(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(volume, "filesystem_of", lambda _: kind)
    with pytest.raises(Invalid) as refused:
        Database(sqlite_url)
    assert refused.value.code == "core.shared_volume" and kind in refused.value.message


def test_data_case_23_a_copy_taken_live_is_refused_on_another_machine(
    system: System,
    make_system: Callable[[Database], System],
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine.hold(system)
    with sqlite3.connect(tmp_path / "weighthouse.db") as live, sqlite3.connect(tmp_path / "copy.db") as copy:
        live.backup(copy)
    live.close()
    copy.close()
    elsewhere = Database(f"sqlite:///{tmp_path / 'copy.db'}")
    other = make_system(elsewhere)
    machine.hold(other)  # the same machine, another process
    monkeypatch.setattr(machine, "identity", lambda: "another machine")
    with pytest.raises(Unavailable) as refused:
        machine.hold(other)
    assert refused.value.code == "core.other_machine"
    clock.advance(machine.TTL + 1)  # the first machine is gone
    machine.hold(other)
    elsewhere.close()


def test_data_case_22_a_storm_of_writers_under_a_long_reader_loses_nothing_and_the_wal_shrinks_again(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "MAX_WAL_KEPT", 256 * 1024)
    storm = Database(f"sqlite:///{tmp_path / 'weighthouse.db'}")
    stormed = System(system.settings, system.clock, storm)
    done: list[str] = []
    refused: list[str] = []

    def write(writer: int) -> None:
        for number in range(4):
            name = f"{writer}-{number}"
            while name not in done:
                try:
                    with begin(stormed) as unit:
                        store.write_lease(unit.conn, name, "x" * 12_000, 1, 1, new=True)
                    done.append(name)
                except Unavailable as error:
                    refused.append(error.code)

    wal = tmp_path / "weighthouse.db-wal"
    with read(system) as long:
        before = long.conn.execute(text("SELECT count(*) FROM core_lease")).scalar_one()
        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(50)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"200 writes by 50 writers in {time.monotonic() - started:.1f} s, {len(refused)} asked to try again")
        assert long.conn.execute(text("SELECT count(*) FROM core_lease")).scalar_one() == before
        assert wal.stat().st_size > databases.MAX_WAL_KEPT, (
            "the reader starves the checkpoint: else this shows nothing"
        )
    assert set(refused) <= {"core.database_unavailable"}
    for number in range(2):  # the first write after the reader has gone carries the log over, the next begins it anew
        with begin(stormed) as unit:
            store.write_lease(unit.conn, f"after-{number}", "x" * 4000, 1, 1, new=True)
    assert wal.stat().st_size <= databases.MAX_WAL_KEPT
    with read(stormed) as unit:
        assert unit.conn.execute(text("SELECT count(*) FROM core_lease")).scalar_one() == before + len(set(done)) + 2
    storm.close()


def test_a_damaged_file_is_a_no_and_says_so(system: System, tmp_path: Path) -> None:
    with begin(system) as unit:
        store.write_lease(unit.conn, "x", "x", 1, 1, new=True)
    system.database.close()
    path = tmp_path / "weighthouse.db"
    path.write_bytes(b"not a database at all, and long enough to be looked at" * 100)
    with pytest.raises(Unavailable) as refused, begin(system):
        pass
    assert refused.value.code == "core.database_unavailable" and "damaged" in refused.value.message


def test_data_case_32_an_exhausted_pool_is_a_no_within_its_deadline(
    make_system: Callable[[Database], System], any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weighthouse.core.database.BUSY_TIMEOUT", 200)
    database = Database(any_database.engine.url.render_as_string(hide_password=False), pool_size=1)
    database.engine.pool._max_overflow = 0  # type: ignore[attr-defined]
    system = make_system(database)
    with read(system), pytest.raises(Unavailable) as caught, begin(system):
        raise AssertionError("a second connection")
    assert caught.value.code == "core.database_unavailable" and "busy" in caught.value.message
    with begin(system):
        pass
    database.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT pg_sleep(60)", "busy"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "did not answer"),
        ("SET TRANSACTION READ ONLY; CREATE TABLE t (a int)", "takes no changes"),
    ],
)
def test_data_case_32_what_the_server_ends_is_a_no_and_no_half(
    make_system: Callable[[Database], System], postgres_url: str, statement: str, said: str
) -> None:
    database = Database(postgres_url)
    database.create_all()
    system = make_system(database)
    with pytest.raises(Unavailable) as caught, begin(system) as unit:
        unit.conn.execute(insert(store.leases).values(name="half", holder="x", fencing=1, expires=1))
        unit.conn.exec_driver_sql("SET LOCAL statement_timeout = 100")
        if "READ ONLY" in statement:
            unit.conn.commit()
        unit.conn.exec_driver_sql(statement)
    assert caught.value.code == "core.database_unavailable" and said in caught.value.message
    with read(system) as unit:
        assert store.read_lease(unit.conn, "half", lock=False) is None or "READ ONLY" in statement
    database.close()


def test_data_case_32_a_deadlock_ends_in_one_change_and_one_no(
    make_system: Callable[[Database], System], postgres_url: str
) -> None:
    database = Database(postgres_url)
    database.create_all()
    system = make_system(database)
    with begin(system) as unit:
        for name in ("a", "b"):
            store.write_lease(unit.conn, name, "x", 0, 0, new=True)
    gate, ended = threading.Barrier(2), []

    def cross(first: str, second: str) -> None:
        try:
            with begin(system) as unit:
                store.write_lease(unit.conn, first, first, 1, 1, new=False)
                gate.wait()
                store.write_lease(unit.conn, second, first, 1, 1, new=False)
            ended.append("done")
        except Unavailable as error:
            ended.append(error.code)

    threads = [threading.Thread(target=cross, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["core.database_unavailable", "done"]
    with read(system) as unit:
        rows = [store.read_lease(unit.conn, name, lock=False) for name in ("a", "b")]
    assert rows[0] == rows[1], "half of one change and half of the other"
    tries = []

    def victim(unit: Unit) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("", {}, psycopg.errors.DeadlockDetected())
        return "in the end"

    assert retry(system, None, victim) == "in the end" and len(tries) == 2
    database.close()


def test_a_refused_connection_is_closed_and_fills_no_server(postgres_url: str) -> None:
    refused, watch = Database(postgres_url, schema="nowhere"), Database(postgres_url)
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            with pytest.raises(WeighthouseError), refused.engine.connect():
                pass
        gc.collect()
    with watch.engine.connect() as connection:
        until = time.monotonic() + 10
        while connection.execute(others).scalar_one() and time.monotonic() < until:
            connection.rollback()
        assert connection.execute(others).scalar_one() == 0
    refused.close()
    watch.close()


FOREIGN_DEFAULTS = (
    "client_encoding = 'LATIN1'",
    "quote_all_identifiers = on",
    "standard_conforming_strings = off",
    "transform_null_equals = on",
    "bytea_output = 'escape'",
    "datestyle = 'German'",
    "default_transaction_isolation = 'serializable'",
)


@pytest.mark.parametrize("encoding", ["", "LATIN1"])
def test_what_a_database_or_the_environment_sets_by_default_changes_nothing_of_ours(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    def seen() -> list[object]:
        database = Database(postgres_url)
        with database.engine.connect() as connection:
            word = connection.execute(text("SELECT :w"), {"w": "\u0416\u2026"}).scalar_one()
            names = [default.partition(" ")[0] for default in FOREIGN_DEFAULTS]
            settings = [connection.execute(text(f"SHOW {name}")).scalar_one() for name in names]
            ours = shape.read(connection)
        database.close()
        return [word, settings, ours]

    database = Database(postgres_url)
    database.create_all()
    before = seen()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        for default in FOREIGN_DEFAULTS:
            connection.execute(text(f'ALTER DATABASE "{name}" SET {default}'))
    database.close()
    if encoding:
        monkeypatch.setenv("PGCLIENTENCODING", encoding)
    assert seen() == before


def test_what_tests_make_at_once_is_what_is_declared(any_database: Database) -> None:
    at_once = shape_of(any_database)
    databases.metadata.drop_all(any_database.engine)
    assert shape_of(any_database) < at_once
    databases.metadata.create_all(any_database.engine)
    assert shape_of(any_database) == at_once
    any_database.create_all()  # where some are there, those that are missing are made, and none twice
    assert shape_of(any_database) == at_once


def shape_of(database: Database) -> shape.Shape:
    with database.engine.connect() as connection:
        return shape.read(connection)
