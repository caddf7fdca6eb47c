"""The database's schema and its history. Guards data from a server that does not understand it.

Migrations only expand, or contract what no running version reads; each is one transaction. A database at a revision
this software does not know is refused, unchanged.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

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


def prepare(database: Database) -> str:
    """Bring a database to the newest revision and return it; refuse one it does not know (`app.unknown_schema`)."""
    config = configuration()
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    head = scripts.get_current_head()
    assert head is not None
    at = current(database)
    if at is not None and at not in known:
        raise Unavailable(
            "app.unknown_schema",
            f"The database is at schema revision {at}, which this version of Weighthouse does not know.",
            "Start the version that wrote it, or a newer one; nothing was changed.",
        )
    if at != head:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return head
