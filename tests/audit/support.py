"""A laboratory for the log: write facts, settle them, tamper with rows as a database administrator would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import text

import weighthouse_verify
from weighthouse.audit import api
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.ports import SignerMemory
from weighthouse.core.events import Event
from weighthouse.core.work import Recorder, Revocation, System, begin, read
from weighthouse.egress.adapters.books import FileBooks
from weighthouse.egress.ports import Books
from weighthouse.identity import api as identity

VERIFIER = Path(weighthouse_verify.__file__).parent.parent


class Noted(Event, frozen=True, kw_only=True):
    """A fact with nothing personal in it."""

    KIND: ClassVar[str] = "test.Noted"
    SUBJECT: ClassVar[str] = "thing"

    thing: str = "model/tern"
    number: int = 0
    extra: Any = None


class Opened(Event, frozen=True, kw_only=True):
    """A fact that may happen only while the log takes entries."""

    KIND: ClassVar[str] = "test.Opened"
    GRAVE: ClassVar[bool] = True


class Told(Event, frozen=True, kw_only=True):
    """A fact with free text that a person wrote."""

    KIND: ClassVar[str] = "test.Told"
    SUBJECT: ClassVar[str] = "person"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason", "address"})

    person: str
    reason: str
    address: str = ""


def bind_log(system: System, folder: Path) -> System:
    """Bind what the log needs from outside the database."""
    system.bind(SignerMemory, FileSignerMemory(folder / "log.memory"))
    system.bind(Books, FileBooks(folder / "egress.books"))
    system.bind(Recorder, api.append)
    system.bind(Revocation, identity.check_under_way)
    api.begin(system)
    return system


def verifier(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run weighthouse-verify as the separate program it is."""
    return subprocess.run(
        [sys.executable, "-I", "-c", _RUN, str(VERIFIER), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


_RUN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.modules['weighthouse'] = None;"
    "from weighthouse_verify.__main__ import run; run()"
)


class Lab:
    """One system whose log is under test."""

    def __init__(self, system: System) -> None:
        self.system = system

    @property
    def dialect(self) -> str:
        return self.system.database.dialect

    def write(self, *events: Event) -> None:
        """Append `events` in one transaction and let the sequencer take them."""
        with begin(self.system) as unit:
            for event in events:
                api.append(unit, event)
        self.settle()

    def many(self, count: int) -> None:
        """Append `count` numbered facts in one transaction."""
        self.write(*(Noted(number=number) for number in range(count)))

    def settle(self) -> None:
        while api.sequence(self.system):
            pass

    def head(self) -> api.Head:
        with read(self.system) as unit:
            return api.head(unit)

    def prove(self, index: int) -> str:
        with read(self.system) as unit:
            return api.prove(unit, index)

    def entries(self, **selection: Any) -> list[api.Entry]:
        with read(self.system) as unit:
            return api.entries(unit, **selection)

    def export(self, folder: Path) -> Path:
        with read(self.system) as unit:
            api.export(unit, folder)
        return folder

    def sql(self, statement: str, **values: Any) -> None:
        """Do what somebody with write access to the database, and to nothing else, can do."""
        with self.system.database.engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.system.database.engine.begin() as connection:
            return list(connection.execute(text(statement), values))

    def rewrite_leaf(self, index: int, change: Callable[[bytes], bytes]) -> None:
        leaf = self.rows("SELECT leaf FROM log_entry WHERE idx = :i", i=index)[0][0]
        self.sql("UPDATE log_entry SET leaf = :leaf WHERE idx = :i", leaf=change(bytes(leaf)), i=index)
