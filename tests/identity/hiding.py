"""A row that who writes the database takes away for a while, and puts back as it was; on either database."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import follow
from weighthouse.audit import api as audit


def hide(lab: Lab, table: str, key: str, value: str) -> Callable[[], None]:
    """Take the rows away; return what puts them back."""
    engine = lab.system.database.engine
    with engine.begin() as connection:
        found = text(f"SELECT * FROM {table} WHERE {key} = :v")
        rows = [dict(one) for one in connection.execute(found, {"v": value}).mappings()]
        connection.execute(text(f"DELETE FROM {table} WHERE {key} = :v"), {"v": value})
    assert rows

    def back() -> None:
        with engine.begin() as connection:
            connection.execute(text(f"DELETE FROM {table} WHERE {key} = :v"), {"v": value})
            for row in rows:
                values = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"), row)

    return back


def settled(lab: Lab) -> None:
    """The log has what was said, and its followers have read it."""
    while audit.sequence(lab.system):
        pass
    follow(lab)
    while audit.sequence(lab.system):
        pass
