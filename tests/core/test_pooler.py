"""A pooler before PostgreSQL: one that pools sessions will do; one that shares a connection is seen and refused."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from weighthouse.core import faults
from weighthouse.core.clock import SystemClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, begin


@contextmanager
def bouncer(postgres_url: str, mode: str) -> Iterator[str]:
    """A real PgBouncer in front of the database, in this mode; yield where it listens."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        pytest.fail("this test needs pgbouncer: apt-get install pgbouncer")
    folder = parse_qs(urlsplit(postgres_url).query)["host"][0]
    name = postgres_url.split("?")[0].rsplit("/", 1)[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = Path(tempfile.mkdtemp(prefix="wh-bouncer-"))
    place.chmod(0o755)
    (place / "users").write_text('"postgres" "unused"\n')
    (place / "bouncer.ini").write_text(
        f"[databases]\n{name} = host={folder} dbname={name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {place / 'users'}\n"
        f"pool_mode = {mode}\n"
    )
    user = "nobody" if os.geteuid() == 0 else None
    process = subprocess.Popen([program, str(place / "bouncer.ini")], user=user, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/{name}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        shutil.rmtree(place)


def running(database: Database, tmp_path: Path) -> System:
    """A system as the server makes it, by the real clock."""
    return System(Settings(flags={"state": tmp_path}), SystemClock(), database)


@pytest.mark.real_pooler
def test_a_pooler_of_sessions_as_it_comes_will_do(postgres_url: str, tmp_path: Path) -> None:
    with bouncer(postgres_url, "session") as url:
        database = Database(url)
        database.create_all()
        with begin(running(database, tmp_path)) as unit:
            path = unit.conn.execute(text("SHOW search_path")).scalar_one()
            assert path == '"public", pg_temp'
            assert unit.conn.execute(text("SHOW statement_timeout")).scalar_one() == "15s"
        database.close()


@pytest.mark.real_pooler
def test_a_pooler_of_transactions_is_refused_once_another_process_answers(postgres_url: str, tmp_path: Path) -> None:
    with bouncer(postgres_url, "transaction") as url:
        database = Database(url)
        database.create_all()
        system = running(database, tmp_path)
        with begin(system):
            pass
        plain = url.replace("+psycopg", "")
        with psycopg.connect(plain, prepare_threshold=None) as other:  # takes the connection that our settings are in
            other.execute("SELECT 1")
            with pytest.raises(Unavailable, match="hands one connection to many"), begin(system):
                raise AssertionError("it went on where nothing was agreed")
        database.close()


THEIRS = (
    "synchronous_commit = off",
    "search_path = evil, public",
    "statement_timeout = 0",
    "weighthouse.probe = 'x'",
)


@pytest.mark.real_pooler
@pytest.mark.parametrize("theirs", THEIRS)
def test_a_pooler_of_transactions_is_refused_where_one_process_answers_all_and_another_client_sets_it_anew(
    postgres_url: str, tmp_path: Path, theirs: str
) -> None:
    """At low load every client is handed the same connection, and only what is set there tells that it is shared."""
    with bouncer(postgres_url, "transaction") as url:
        database = Database(url)
        database.create_all()
        system = running(database, tmp_path)
        with begin(system):
            pass
        with psycopg.connect(url.replace("+psycopg", ""), prepare_threshold=None) as other:
            other.execute(f"SET {theirs}")
        with pytest.raises(Unavailable, match="hands one connection to many"), begin(system):
            raise AssertionError("it went on where nothing was agreed")
        database.close()


@pytest.mark.real_pooler
def test_a_pooler_of_transactions_is_refused_once_a_second_connection_of_ours_is_made(
    postgres_url: str, tmp_path: Path
) -> None:
    with bouncer(postgres_url, "transaction") as url:
        first, second = Database(url), Database(url)
        first.create_all()
        with begin(running(first, tmp_path)):
            pass
        with begin(running(second, tmp_path)):
            pass
        with pytest.raises(Unavailable, match="hands one connection to many"), begin(running(first, tmp_path)):
            raise AssertionError("it went on where nothing was agreed")
        first.close()
        second.close()


def test_a_unit_answered_by_another_process_than_agreed_is_refused(postgres_url: str) -> None:
    database = Database(postgres_url)
    database.create_all()
    with database.engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None and driver.agreed_with > 0 and database.now(connection)
        driver.agreed_with += 1
        with pytest.raises(Unavailable, match="hands one connection to many"):
            database.now(connection)
    database.close()


@pytest.mark.parametrize("state", ["26000", "42P05"])
def test_a_statement_prepared_on_another_connection_is_told_as_a_pooler(state: str) -> None:
    lost = psycopg.errors.lookup(state)("prepared statement")
    assert faults.fault(OperationalError("", None, lost)) == faults.SHARED


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_a_database_that_cannot_hold_every_name_is_refused_at_the_start(postgres_url: str, encoding: str) -> None:
    name = postgres_url.split("?")[0].rsplit("/", 1)[1]
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(
            text(f"CREATE DATABASE {name}_x ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        )
    other = Database(postgres_url.replace(f"/{name}?", f"/{name}_x?"))
    with pytest.raises(Invalid) as refused:
        other.create_all()
    assert refused.value.code == "core.bad_database" and encoding in refused.value.message
    other.close()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}_x"))
    admin.dispose()
