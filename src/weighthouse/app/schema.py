"""The database's schema and its history. Guards data from a server that does not understand it.

Migrations only expand, or contract what no running version reads; each is one transaction. A database at a revision
this software does not know is refused, unchanged. So is one that holds more than ours, or ours changed: what our own
migrations make is made once more, aside, and compared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from weighthouse.core import shape
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable

FOLDER = Path(__file__).parent / "migrations"


def configuration() -> Config:
    """Return Alembic's configuration, which needs no file of its own."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def current(database: Database) -> str | None:
    """Return the revision a database is at, None when it is empty."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def examine(database: Database, known_at: str | None = None) -> str | None:
    """Return the revision a database is at, None when it is empty; change nothing.

    What our migrations make is not made once more if it is at `known_at` still, as when it was examined before: on
    PostgreSQL that takes most of a start. Raises `app.unknown_schema` for a revision that this software does not
    know, and `app.foreign_schema`.
    """
    scripts = ScriptDirectory.from_config(configuration())
    known = {script.revision for script in scripts.walk_revisions()}
    at = current(database)
    if at is not None and at not in known:
        raise Unavailable(
            "app.unknown_schema",
            f"The database is at schema revision {at}, which this version of Weighthouse does not know.",
            "Start the version that wrote it, or a newer one; nothing was changed.",
        )
    if at is not None:
        if at != known_at or database.ours is None:
            database.ours = expected(database, at)
        with database.engine.connect() as connection:
            _refuse_foreign(database, connection)
    return at


def prepare(
    database: Database, judge: Callable[[Connection], None] | None = None, *, known_at: str | None = None
) -> str:
    """Bring a database to the newest revision and return it; raise as `examine` does, which is asked with `known_at`.

    `judge` looks at what the migrations made of a database that was not empty, before they are committed: what it
    refuses was not migrated, so that the version that wrote it can still be started.
    """
    at, head = examine(database, known_at), ScriptDirectory.from_config(configuration()).get_current_head()
    assert head is not None
    if at == head:
        return head
    ours = expected(database, head)
    with database.engine.begin() as connection:
        upgrade(connection)
        database.ours = ours
        _refuse_foreign(database, connection)
        if judge is not None and at is not None:
            judge(connection)
    return head


def _refuse_foreign(database: Database, connection: Connection) -> None:
    """Raise `app.foreign_schema` unless the database is what our migrations make."""
    foreign = database.foreign(connection)
    if foreign:
        raise Unavailable(
            "app.foreign_schema",
            "The database is not as this software made it, so nothing that it answers can be believed: "
            f"{'; '.join(foreign)}.",
            "Find out who changed it. Remove what is foreign, or restore a good backup, then start again; "
            "nothing was changed and nothing is served.",
        )


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run our migrations up to `revision` in the transaction of `connection`."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def expected(database: Database, revision: str) -> shape.Shape:
    """Return the shape that our migrations make on this kind of database; what they made for it is gone again."""
    if database.dialect == "sqlite":
        return _expected_sqlite(revision)
    with database.engine.connect() as connection, connection.begin() as transaction:
        # Temporary tables need no right that the role lacks, are seen by nobody else and end with the transaction.
        connection.execute(text("SET LOCAL search_path = pg_temp"))
        upgrade(connection, revision)
        found = shape.read(connection, temporary=True)
        transaction.rollback()
    return found


@lru_cache(maxsize=8)
def _expected_sqlite(revision: str) -> shape.Shape:
    scratch = create_engine("sqlite://")
    with scratch.begin() as connection:
        upgrade(connection, revision)
        found = shape.read(connection)
    scratch.dispose()
    return found
