"""Each mistake with a database has words of its own; one that hangs is given up in time; a pooler in front will do."""

from __future__ import annotations

import logging
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from weighthouse.app import schema
from weighthouse.core import database as databases
from weighthouse.core import faults, journal
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid, Unavailable, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.patience import Patient
from weighthouse.core.work import Recorder, System, Unit, begin, read


def said(url: str, **options: str) -> str:
    """What the first use of a database is refused with."""
    with pytest.raises(WeighthouseError) as refused, faults.spoken():
        opened = Database(url, **options)  # type: ignore[arg-type]
        try:
            schema.prepare(opened)
        finally:
            opened.close()
    assert refused.value.code in ("core.database_unavailable", "core.bad_database")
    assert refused.value.remedy
    return refused.value.message


@pytest.fixture
def folder(postgres_server: str) -> str:
    """The folder of the real server's socket."""
    return parse_qs(urlsplit(postgres_server).query)["host"][0]


@pytest.fixture
def relay(folder: str) -> Iterator[Relay]:
    made = Relay(Path(folder) / ".s.PGSQL.5432")
    yield made
    made.close()


class Relay:
    """A TCP port before the real server, which can stop passing anything on without closing anything."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.flowing = threading.Event()
        self.flowing.set()
        self.cut_at: bytes | None = None
        """The connection that says this is lost: the server hears it, and nobody its answer."""
        self.hang = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._target))
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink, sink is far), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        try:
            while data := source.recv(65536):
                self.flowing.wait()
                if up and self.cut_at is not None and self.cut_at in data:
                    self._lose(source, sink, data)
                    return
                sink.sendall(data)
        except OSError:
            return

    def _lose(self, near: socket.socket, far: socket.socket, data: bytes) -> None:
        self.cut_at = None
        if self.hang:
            self.flowing.clear()
        else:
            near.shutdown(socket.SHUT_RDWR)
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)  # the server ends the connection once it has done what it was told

    def close(self) -> None:
        self.flowing.set()
        for one in (self._listener, *self._open):
            one.close()


def test_each_mistake_with_postgresql_has_words_of_its_own(postgres_url: str, folder: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
    name = postgres_url.split("?")[0].rsplit("/", 1)[1]
    at = f"postgresql+psycopg://{{}}@/{{}}?host={folder}"
    told = {
        "none of that name": said(at.format("postgres", "no_such_database")),
        "refuses the user": said(at.format("no_such_user", name)),
        "nothing listens": said(f"postgresql+psycopg://postgres@127.0.0.1:{closed}/x"),
        "nobody knows its host": said("postgresql+psycopg://postgres@no-such-host.invalid/x"),
        "no address of a database": said("not an address"),
        "not a database this": said("mysql://x/y"),
        "no schema of that name": said(postgres_url, schema="no_such_schema"),
    }
    assert {wanted for wanted, message in told.items() if wanted not in message} == set(), told


def test_a_wrong_password_tls_and_missing_rights_are_told_apart(postgres_url: str, relay: Relay) -> None:
    name = postgres_url.split("?")[0].rsplit("/", 1)[1]
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    role = "r" + name
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'right'"))
        connection.execute(text("CREATE SCHEMA closed"))
    limited = postgres_url.replace("//postgres@", f"//{role}:wrong@")
    try:
        assert "allows its user too little" in said(limited)
        assert "over TLS" in said(f"postgresql+psycopg://postgres@127.0.0.1:{relay.port}/{name}?sslmode=require")
        with admin.connect() as connection:
            connection.execute(text(f"ALTER ROLE {role} CONNECTION LIMIT 0"))
        assert "no connection left" in said(limited)
        with admin.connect() as connection:
            connection.execute(text(f"ALTER ROLE {role} CONNECTION LIMIT 9"))
            connection.execute(text(f"ALTER ROLE {role} SET default_transaction_read_only = on"))
        assert "read-only, or a replica" in said(limited)
        with admin.connect() as connection:
            connection.execute(text(f"ALTER ROLE {role} RESET default_transaction_read_only"))
            connection.execute(text(f"ALTER ROLE {role} SUPERUSER"))
            connection.execute(text(f"ALTER ROLE {role} SET session_replication_role = replica"))
        assert "skips triggers" in said(limited)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP OWNED BY {role}; DROP ROLE {role}"))
        admin.dispose()


@pytest.mark.parametrize(
    ("text_", "expected"),
    [
        ('FATAL:  password authentication failed for user "ada"', faults.PASSWORD),
        ("FATAL:  no pg_hba.conf entry for host", faults.PASSWORD),
        ("FATAL:  sorry, too many clients already", faults.TOO_MANY),
        ("FATAL:  the database system is starting up", faults.STARTING),
        ("FATAL:  unsupported startup parameter: options", faults.POOLER),
        ("SSL error: certificate verify failed", faults.TLS),
        ("something new", faults.AWAY),
    ],
)
def test_what_libpq_says_before_it_has_a_code(text_: str, expected: faults.Fault) -> None:
    assert faults.fault(psycopg.OperationalError(text_)) == expected


def test_a_version_that_is_too_old_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "OLDEST_POSTGRESQL", 990_000)
    assert "15 is the oldest" in said(postgres_url)


def test_each_mistake_with_sqlite_has_words_of_its_own(tmp_path: Path, sqlite_url: str) -> None:
    path = tmp_path / "weighthouse.db"
    path.write_bytes(b"no database at all, and long enough to be looked at " * 100)
    assert "no SQLite database" in said(sqlite_url)
    path.unlink()
    path.mkdir()
    assert "cannot be opened" in said(sqlite_url)
    path.rmdir()
    opened = Database(sqlite_url)
    schema.prepare(opened)
    opened.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in said(sqlite_url)


def test_a_locked_and_a_full_sqlite_are_told_apart(
    make_system: Callable[[Database], System], database: Database, tmp_path: Path
) -> None:
    system = make_system(database)
    with sqlite3.connect(tmp_path / "weighthouse.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"busy beyond"), begin(system):
            raise AssertionError("two writers at once")
        other.execute("ROLLBACK")
    other.close()
    with pytest.raises(Unavailable, match=r"is full"), begin(system) as unit:
        unit.conn.exec_driver_sql("PRAGMA max_page_count = 1")
        unit.conn.exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(100000000) AS b")


def test_a_database_that_stops_answering_holds_up_a_request_no_longer_than_the_bound(
    make_system: Callable[[Database], System], postgres_url: str, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Patient, "patience_s", 1.0)
    name = postgres_url.split("?")[0].rsplit("/", 1)[1]
    database = Database(f"postgresql+psycopg://postgres@127.0.0.1:{relay.port}/{name}")
    database.create_all()
    system = make_system(database)
    with read(system):
        pass
    relay.flowing.clear()
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"did not answer in time"), begin(system) as unit:
        unit.conn.execute(text("SELECT 1"))
    assert time.monotonic() - began < 15
    relay.flowing.set()
    with read(system):
        pass  # the connection that hung is not given to anybody again
    database.close()


@pytest.fixture
def behind(postgres_url: str, relay: Relay) -> Iterator[Database]:
    """The real database, reached through the relay, with a table of one column."""
    name = postgres_url.split("?")[0].rsplit("/", 1)[1]
    database = Database(f"postgresql+psycopg://postgres@127.0.0.1:{relay.port}/{name}")
    database.create_all()
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
    yield database
    database.close()


def kept(url: str) -> int:
    """How many rows the server itself has, once nobody who writes them is under way any more."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE kept IN ACCESS EXCLUSIVE MODE"))
        found = int(connection.execute(text("SELECT count(*) FROM kept")).scalar_one())
    engine.dispose()
    return found


@pytest.mark.parametrize("hang", [False, True], ids=["cut", "silent"])
def test_a_commit_whose_answer_is_lost_is_told_as_neither_yes_nor_no(
    make_system: Callable[[Database], System],
    postgres_url: str,
    behind: Database,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    hang: bool,
) -> None:
    monkeypatch.setattr(Patient, "patience_s", 2.0)
    system, over = make_system(behind), list[bool | None]()
    with pytest.raises(Unavailable) as caught, begin(system) as unit:
        unit.when_over(over.append)
        unit.conn.execute(text("INSERT INTO kept VALUES (1)"))
        relay.hang, relay.cut_at = hang, b"COMMIT"
    assert caught.value.code == "core.outcome_unknown" and "not known" in caught.value.message
    assert "nothing was changed" not in caught.value.message + caught.value.remedy
    assert over == [None] and kept(postgres_url) == 1, "it happened, and a no would have been a lie"


def test_a_connection_lost_before_the_commit_is_a_no(
    make_system: Callable[[Database], System], postgres_url: str, behind: Database, relay: Relay
) -> None:
    with pytest.raises(Unavailable) as caught, begin(make_system(behind)) as unit:
        relay.cut_at = b"INSERT INTO kept"
        unit.conn.execute(text("INSERT INTO kept VALUES (1)"))
    assert caught.value.code == "core.database_unavailable" and kept(postgres_url) == 0


def test_a_commit_that_the_database_refuses_is_no_doubt(
    make_system: Callable[[Database], System], postgres_url: str, behind: Database
) -> None:
    over: list[bool | None] = []
    with pytest.raises(IntegrityError), begin(make_system(behind)) as unit:
        unit.when_over(over.append)
        unit.conn.execute(text("INSERT INTO kept VALUES (1), (1)"))
    assert over == [False] and kept(postgres_url) == 0


def test_a_refusal_whose_line_is_in_doubt_stays_a_no(
    make_system: Callable[[Database], System], behind: Database, relay: Relay
) -> None:
    system = make_system(behind)

    def append(unit: Unit, _event: Event) -> None:
        unit.conn.execute(text("INSERT INTO kept VALUES (1)"))
        relay.cut_at = b"COMMIT"

    system.bind(Recorder, append)
    fact = Event()
    with pytest.raises(Unavailable) as caught, begin(system):
        raise Denied("core.no", "No.", "None.", record=[fact])
    assert caught.value.code == "core.database_unavailable" and "the answer is no" in caught.value.message


def test_the_environment_gives_no_options_to_a_connection(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=planted -c synchronous_commit=off")
    database = Database(postgres_url)
    with database.engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
        assert connection.execute(text("SHOW search_path")).scalar_one() == '"public", pg_temp'
    database.close()
    with pytest.raises(Invalid):
        from weighthouse.core.settings import Settings

        Settings(flags={"database.schema": 'public", evil'})


def test_the_same_failure_is_written_once_in_a_while_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    sparing = journal.Sparing(lambda: now[0])
    written = []
    for step in range(200):  # as a timer of 50 ms says it for ten seconds
        now[0] = step * 0.05 + (5 if step == 199 else 0)
        for timer in ("sequence", "sweep"):
            message = f"{timer}: The database did not answer (core.database_unavailable)"
            record = logging.LogRecord("weighthouse.jobs", logging.WARNING, "", 0, message, (), None)
            if sparing.filter(record):
                written.append((message, record.repeated))
    assert len(written) == 2 and written[0][1] == "" and "397 more" in written[1][1]
    other = logging.LogRecord("weighthouse", logging.INFO, "", 0, "a line\nand a forged one", (), None)
    assert sparing.filter(other) and "\n" not in other.getMessage() and other.request == "-"


def test_a_line_of_the_log_has_time_level_and_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    handler = journal.begin()
    token = journal.REQUEST.set("rqs_1")
    try:
        logging.getLogger("weighthouse.jobs").warning("something %s", "failed")
    finally:
        journal.REQUEST.reset(token)
        logging.getLogger("weighthouse").removeHandler(handler)
        logging.getLogger("weighthouse").propagate = True
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING weighthouse\.jobs request=rqs_1 something failed\n", said
    ), said
