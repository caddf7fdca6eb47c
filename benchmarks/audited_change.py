"""What the log costs: a change with its signed entry against the same change alone, on SQLite with synchronous FULL.

Both run in this process, in turns of a few hundred transactions, each on a database of its own, so that a busy
machine or a slow disk hits both alike; the figure is the median of the ratios of neighbouring turns. Each audited
change is one transaction with one entry, the tree, its tiles and one Ed25519 checkpoint; the memory outside the
database is written too.

    python -m benchmarks.audited_change [--changes 3000]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from sqlalchemy import BigInteger, Column, Table, Text, insert

from benchmarks.report import report
from weighthouse.audit import api
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.ports import SignerMemory
from weighthouse.core.clock import SystemClock
from weighthouse.core.database import Database, metadata
from weighthouse.core.events import Event
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System, Unit, begin

changes = Table(
    "benchmark_change",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)
BODY = "approve the request of ada for model/tern until four o'clock, seen by ben and chi " * 2
TURN = 200


class Changed(Event, frozen=True, kw_only=True):
    """The fact of one change, about as long as a real one."""

    KIND: ClassVar[str] = "benchmark.Changed"
    SUBJECT: ClassVar[str] = "request"

    request: str = "req_06f0000000000000000000000"
    grant: str = "grt_06f0000000000000000000000"
    number: int


def system(folder: Path, name: str) -> System:
    """Open a database of its own with keys and memory beside it."""
    database = Database(f"sqlite:///{folder / name}.db")
    database.create_all()
    made = System(Settings((*DECLARED, *api.settings), flags={"state": folder}), SystemClock(), database)
    made.bind(Signers, MemorySigners())
    made.bind(SignerMemory, FileSignerMemory(folder / f"{name}.memory"))
    api.begin(made)
    return made


def turn(run: System, first: int, extra: Callable[[Unit, int], None]) -> float:
    """Make `TURN` changes, one a transaction; return the seconds they took."""
    started = time.perf_counter()
    for number in range(first, first + TURN):
        with begin(run) as unit:
            unit.conn.execute(insert(changes), {"id": number, "body": BODY})
            extra(unit, number)
    return time.perf_counter() - started


def main() -> None:
    """Run both kinds in turns and report the ratio of their rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--changes", type=int, default=4_000)
    turns = max(3, parser.parse_args().changes // TURN)
    with tempfile.TemporaryDirectory() as name:
        plain, audited = system(Path(name), "plain"), system(Path(name), "audited")

        def log(unit: Unit, number: int) -> None:
            api.append(unit, Changed(number=number))

        pairs = [(turn(plain, i * TURN, lambda *_: None), turn(audited, i * TURN, log)) for i in range(turns)]
        assert api.verify(audited).size == turns * TURN
        plain.database.close()
        audited.database.close()
    ratio = statistics.median(alone / logged for alone, logged in pairs[1:])
    rates = [TURN / statistics.median(side) for side in zip(*pairs[1:], strict=True)]
    print(f"unaudited {rates[0]:,.0f}/s, audited {rates[1]:,.0f}/s, one transaction each, synchronous FULL")
    report("audited change on SQLite FULL / the same unaudited", ratio, ">=", 0.45)


if __name__ == "__main__":
    main()
