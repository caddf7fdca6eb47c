"""The database behind one face: SQLite (WAL, FULL, STRICT, foreign keys, BEGIN IMMEDIATE) or PostgreSQL.

Guards acknowledged changes from being lost, and SQLite from its own defaults: no deferred transaction that fails when
it turns into a write, no silent type coercion, no foreign keys left off.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    create_mock_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry

from weighthouse.core import faults, shape, volume
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.patience import Patient

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_DRIVER = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}
READ_ONLY = "weighthouse_read_only"
BUSY_TIMEOUT: Millis = 5_000
STATEMENT_TIMEOUT: Millis = 15_000
MAX_WAL_KEPT = 64 * 1024 * 1024
OLDEST_POSTGRESQL = 150_000


@compiles(BigInteger, "sqlite")
def _big_integer(_type: BigInteger, _compiler: Any, **_: Any) -> str:
    return "INTEGER"


@compiles(String, "sqlite")
def _string(_type: String, _compiler: Any, **_: Any) -> str:
    return "TEXT"


@event.listens_for(Table, "after_parent_attach")
def _strict(table: Table, _parent: MetaData) -> None:
    table.dialect_options["sqlite"]["strict"] = True


class Database:
    """An engine with this software's rules applied to every connection.

    `url` is a SQLAlchemy address (`sqlite:////folder/file.db` or `postgresql+psycopg://…`).
    """

    def __init__(self, url: str, *, pool_size: int = 10, schema: str = "public") -> None:
        with faults.spoken():
            parsed = make_url(url)
        self.ours: shape.Shape | None = None
        self.dialect = parsed.get_backend_name()
        if self.dialect == "sqlite":
            self.engine = _sqlite(url, parsed.database, pool_size)
        elif self.dialect == "postgresql":
            self.engine = _postgresql(url, pool_size, schema)
        else:
            raise Invalid(
                "core.bad_database",
                f"'{self.dialect}' is not a database this software keeps its promises on.",
                "Use a sqlite:/// or a postgresql+psycopg:// address in the setting database.url.",
            )

    def foreign(self, connection: Connection) -> list[str]:
        """Say what in the database is not as our migrations made it; nothing where none did (`create_all`)."""
        return shape.differences(self.ours, shape.read(connection)) if self.ours is not None else []

    def create_all(self) -> None:
        """Make every declared table at once; for tests and benchmarks, which need no migration history.

        Those make thousands of databases: in an empty one, what SQLAlchemy would say is said without being composed
        anew.
        """
        with self.engine.begin() as connection:
            if inspect(connection).get_table_names():
                metadata.create_all(connection)
                return
            cursor = connection.connection.cursor()
            for statement in _definitions(self.dialect, tuple(metadata.tables)):
                cursor.execute(statement)
            cursor.close()

    def now(self, connection: Connection) -> Millis | None:
        """Return the database's own time on PostgreSQL, so that servers agree; None where the file has no clock.

        The same question asks which server process answers, and what is set there: one that our settings were not
        made in, or somebody else of the same pool has set anew, may look for tables elsewhere, or lose what it has
        acknowledged. A transaction stays where it began, so asking once in each is enough.
        """
        if self.dialect != "postgresql":
            return None
        process, settings, value = connection.execute(_NOW).one()
        driver = connection.connection.dbapi_connection
        if (process, settings) != (getattr(driver, "agreed_with", 0), getattr(driver, "agreed_on", "")):
            raise faults.refusal(faults.SHARED)
        return int(value)

    def close(self) -> None:
        self.engine.dispose()


@lru_cache(maxsize=16)
def _definitions(dialect: str, _tables: tuple[str, ...]) -> tuple[str, ...]:
    """Return what makes these tables, which are all that is declared; one statement where a server can take it so."""
    found: list[str] = []
    spoken = make_url(_DRIVER[dialect]).get_dialect()()
    told = create_mock_engine(_DRIVER[dialect], lambda one, *_, **__: found.append(str(one.compile(dialect=spoken))))
    metadata.create_all(told, checkfirst=False)
    return tuple(found) if dialect == "sqlite" else (";".join(found),)


def _sqlite(url: str, path: str | None, pool_size: int) -> Engine:
    if not path or path == ":memory:":
        remedy = "Give a file: sqlite:////folder/file.db."
        raise Invalid("core.bad_database", "SQLite in memory keeps nothing.", remedy)
    if not Path(path).parent.is_dir():
        raise Invalid(
            "core.bad_database",
            f"The folder of {path} does not exist.",
            "Make it, or run `weighthouse init`.",
        )
    kind = volume.filesystem_of(Path(path).parent)
    if kind in volume.SHARED:
        raise Invalid(
            "core.shared_volume",
            f"{path} lies on a volume of type {kind}, which several machines share: SQLite's locks and its "
            "write-ahead log do not hold there, and two servers would write over each other.",
            "Keep the file on a disk of this machine, or use PostgreSQL in the setting database.url.",
        )
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=20,
        pool_timeout=BUSY_TIMEOUT / 1000,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT / 1000},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        with _closed_if_refused(connection):
            connection.text_factory = _READABLE
            connection.isolation_level = None  # we say BEGIN ourselves; the driver's own rule would defer it
            cursor = connection.cursor()
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                f"busy_timeout = {BUSY_TIMEOUT}",
                f"journal_size_limit = {MAX_WAL_KEPT}",  # what a long reader made it grow to is given back
                "trusted_schema = OFF",
            ):
                cursor.execute("PRAGMA " + pragma)
            cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred BEGIN that reads and then writes fails with SQLITE_BUSY_SNAPSHOT; IMMEDIATE waits.
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


# Whoever writes the file may put bytes that are no text into one row; read strictly, it would take every row of the
# same answer with it. Read so, it is a text that nobody has sealed or signed.
_READABLE = partial(str, encoding="utf-8", errors="replace")


def _postgresql(url: str, pool_size: int, schema: str) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=20,
        pool_timeout=BUSY_TIMEOUT / 1000,
        connect_args={
            # Neither ours nor the environment's: a pooler refuses a connection that asks for options at its start.
            "options": "",
            "client_encoding": "utf8",  # not what PGCLIENTENCODING or the database's own default says
            # A server that vanished says nothing: these end the wait for it.
            "connect_timeout": 5,
            "tcp_user_timeout": 20_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _entry: Any, arguments: Any, parameters: Any) -> Any:
        return Patient.connect(*arguments, **parameters)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        with _closed_if_refused(connection):
            _agree(connection, schema)

    return engine


@contextlib.contextmanager
def _closed_if_refused(connection: Any) -> Iterator[None]:
    """Close what the pool does not know yet: a server that is refused again and again must not be filled by it."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


_PROBE = "weighthouse.probe"
_SET = {
    "statement_timeout": str(STATEMENT_TIMEOUT),
    "lock_timeout": str(BUSY_TIMEOUT),
    "timezone": "UTC",
    "client_encoding": "UTF8",
    # How values and definitions are spelled: a default of the database or the user must not change our reading.
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",
}
_ASKED = ", ".join(f"pg_catalog.current_setting('{name}', true)" for name in (*_SET, "search_path", _PROBE))
_AGREED = f"SELECT pg_catalog.pg_backend_pid(), pg_catalog.concat_ws('|', {_ASKED})"
_NOW = text(f"{_AGREED}, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint")


def _agree(connection: Any, schema: str) -> None:
    """Set what every statement relies on, and refuse a server on which the promises do not hold."""
    if connection.info.server_version < OLDEST_POSTGRESQL:
        raise _unfit(f"PostgreSQL here is version {connection.info.server_version // 10_000}; 15 is the oldest")
    # Ours first, temporary tables last: no schema of somebody else's is looked into for a table.
    for name, value in {**_SET, "search_path": f'"{schema}", pg_temp', _PROBE: secrets.token_hex(8)}.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    process, settings = connection.execute(_AGREED).fetchone()
    connection.commit()  # else the pool's first rollback would undo them
    found = dict(connection.execute(_FACTS, {"schema": schema}).fetchall())
    connection.rollback()
    if found["process"] != str(process):
        raise faults.refusal(faults.SHARED)
    connection.agreed_with, connection.agreed_on = process, settings
    if found["server_encoding"] != "UTF8":
        raise _unfit(f"This database keeps its text as {found['server_encoding']}, which cannot hold every name")
    # A schema that is missing or closed to us is skipped in silence, and tables are made among the temporary ones.
    if found["schema"] != "true":
        raise faults.refusal(faults.NO_SCHEMA if found["schema"] is None else faults.NOT_ALLOWED)
    if found["fsync"] != "on":
        raise _unfit("PostgreSQL here runs with fsync = off, so a power cut loses changes that were acknowledged")
    if found["session_replication_role"] != "origin":
        raise _unfit("PostgreSQL here skips triggers and foreign keys for this user (session_replication_role)")
    if found["replica"] != "false" or found["default_transaction_read_only"] != "off":
        raise faults.refusal(faults.READ_ONLY)


_FACTS = """
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('fsync', 'server_encoding', 'session_replication_role', 'default_transaction_read_only')
UNION ALL SELECT 'process', pg_catalog.pg_backend_pid()::text
UNION ALL SELECT 'replica', pg_catalog.pg_is_in_recovery()::text
UNION ALL SELECT 'schema', pg_catalog.has_schema_privilege(
  (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s), 'USAGE')::text
"""


def _unfit(what: str) -> Invalid:
    return Invalid(
        "core.bad_database",
        f"{what}.",
        "Use PostgreSQL 15 or newer with fsync = on and a database with ENCODING 'UTF8' in the setting database.url.",
    )
