"""What waits for a lock no longer than a moment. Guards a no from whoever locks a row or a table, to hold it up.

To lock what a decision reads keeps two at once from deciding differently; it is no reason to wait where the answer is
no. And what only keeps a record fresh, as when somebody was last here, is left out rather than waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from weighthouse.core.work import Unit

MOMENT = "300ms"
_NOT_AVAILABLE = "55P03"
T = TypeVar("T")


def briefly(unit: Unit, act: Callable[[], T], instead: Callable[[], T]) -> T:
    """Return what `act` does, or what `instead` does where a lock of somebody else is in the way of it; what `act`
    had changed is undone then. On SQLite, where a unit has the whole file to itself, it is `act` alone."""
    if unit.system.database.dialect != "postgresql":
        return act()
    try:
        with unit.conn.begin_nested(), _hasty(unit):
            return act()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != _NOT_AVAILABLE:
            raise
    return instead()


@contextmanager
def _hasty(unit: Unit) -> Iterator[None]:
    """Wait for a moment at most; the wait of before comes back with the savepoint if this fails, else by hand."""
    before = unit.conn.execute(text("SELECT current_setting('lock_timeout')")).scalar_one()
    _wait(unit, MOMENT)
    yield
    _wait(unit, str(before))


def within_a_moment(unit: Unit) -> None:
    """Let this whole unit wait for no lock longer than that: it is one that its caller can do without."""
    if unit.system.database.dialect == "postgresql":
        _wait(unit, MOMENT)


def _wait(unit: Unit, limit: str) -> None:
    unit.conn.execute(text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": limit})
