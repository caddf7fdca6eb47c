"""Two servers over one PostgreSQL, each with a folder of its own, and copies of their database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from tests.audit.support import Lab, Noted, bind_log
from weighthouse.audit import api
from weighthouse.audit.adapters.acknowledged import FileLines
from weighthouse.audit.api import lanes
from weighthouse.audit.ports import LineMemory
from weighthouse.core.clock import SECOND, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import System, begin

Nothing = Callable[[], object]


class Pair:
    """Two servers that say every few seconds that they live."""

    def __init__(self, clock: ManualClock, first: Lab, second: Lab) -> None:
        self.clock, self.first, self.second = clock, first, second
        for lab in (first, second):
            self.write(lab)
        first.settle()

    def write(self, lab: Lab) -> None:
        with begin(lab.system) as unit:
            api.append(unit, Noted(number=1))

    def minutes(self, count: int, *, attack: Nothing = lambda: None, saying: tuple[Lab, ...] | None = None) -> None:
        for _ in range(count * 6):
            self.clock.advance(10 * SECOND)
            for lab in (self.first, self.second) if saying is None else saying:
                api.say(lab.system)
            attack()
            self.second.settle()
            self.first.settle()
            for lab in (self.first, self.second, *(saying or ())):
                api.behind(lab.system)


def folder_of(system: System, folder: Path, name: str) -> Lab:
    (folder / name).mkdir(exist_ok=True)
    system.bind(LineMemory, FileLines(folder / name / "lines"))
    return Lab(bind_log(system, folder))


def mine(lab: Lab) -> str:
    return lanes.writer(lab.system)


def started(pair: Pair, make_system: Callable[[Database], System], tmp_path: Path, name: str) -> Lab:
    """A server that starts over a folder, and the log tells of it before it serves."""
    lab = folder_of(make_system(pair.first.system.database), tmp_path, name)
    pair.clock.advance(11 * SECOND)  # nobody sequences here but who is asked to, so its lease ends
    api.join(lab.system)
    return lab


@contextlib.contextmanager
def cloned(postgres_url: str, suffix: str) -> Iterator[Database]:
    """A copy of the whole database, for a while; nobody may be connected to it when it is made."""
    own = make_url(postgres_url)
    administrator = create_engine(own.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{own.database}{suffix}" TEMPLATE "{own.database}"'))
    clone = Database(own.set(database=f"{own.database}{suffix}").render_as_string(hide_password=False))
    try:
        yield clone
    finally:
        clone.close()
        with administrator.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{own.database}{suffix}" WITH (FORCE)'))
        administrator.dispose()


def carry(one: Lab, two: Lab) -> None:
    """Carry over what a server says."""
    for name, said, seal in one.rows("SELECT name, said, seal FROM log_server WHERE name = :name", name=mine(one)):
        two.sql("DELETE FROM log_server WHERE name = :name", name=name)
        two.sql("INSERT INTO log_server VALUES (:name, :said, :seal)", name=name, said=said, seal=seal)
