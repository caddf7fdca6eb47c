"""Drafts a migration from the difference between history and declared tables: for whoever changes a store.

`python -m weighthouse.app.draft_migration "what and why"` writes a file into migrations/versions, to be read,
corrected and committed by a person. Expand only; a contraction waits until no running version reads what it removes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command

from weighthouse.app import declared, routers, schema, wiring
from weighthouse.core.database import Database


def main(message: str) -> None:
    """Write a draft against a fresh SQLite database brought to the head of the history."""
    assert wiring.__name__  # every store's tables are declared once the wiring is imported
    declared.settings()
    routers.every()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'draft.db'}")
        config = schema.configuration()
        scripts = list((schema.FOLDER / "versions").glob("[0-9]*.py"))
        if scripts:
            schema.prepare(database)
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{len(scripts) + 1:04d}")
        database.close()


if __name__ == "__main__":
    main(sys.argv[1])
