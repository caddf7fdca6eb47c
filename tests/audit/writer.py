"""A process that writes under load until it is killed; what it prints was acknowledged. Started by test_kill.

Each line it prints names one change whose commit returned. `die` kills the process at one exact point instead.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import ClassVar

from sqlalchemy import BigInteger, Column, Table, Text, insert

from weighthouse.audit import api, jobs
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.api import sequencing
from weighthouse.audit.ports import SignerMemory
from weighthouse.core.answers import once
from weighthouse.core.clock import Clock, SystemClock
from weighthouse.core.database import Database, metadata
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System, Unit, begin

changes = Table(
    "test_change",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
)
WORKERS = 4


class Changed(Event, frozen=True, kw_only=True):
    """The fact that goes with each change."""

    KIND: ClassVar[str] = "test.Changed"
    SUBJECT: ClassVar[str] = "worker"

    worker: str
    number: int


def open_system(url: str, folder: Path, clock: Clock | None = None) -> System:
    """Open the database as the server would, with its keys and its signer's memory in `folder`."""
    settings = Settings((*DECLARED, *api.settings), flags={"state": folder, "mode": "development"})
    system = System(settings, clock or SystemClock(), Database(url))
    system.bind(Signers, MemorySigners(b"\x07" * 32))
    system.bind(SignerMemory, FileSignerMemory(folder / "log.memory"))
    system.database.create_all()
    api.begin(system)
    return system


def change(unit: Unit, worker: str, number: int) -> dict[str, int]:
    """One change and the fact that tells of it."""
    unit.conn.execute(insert(changes).values(worker=worker, number=number))
    api.append(unit, Changed(worker=worker, number=number))
    return {"number": number}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work(system: System, worker: str, lock: threading.Lock) -> None:
    number = 0
    while True:
        number += 1
        with begin(system) as unit:
            change(unit, worker, number)
        with lock:
            print(worker, number, flush=True)


def _drain(system: System) -> None:
    while True:
        try:
            jobs.drain(system)
        except WeighthouseError as error:
            print("sequencer:", error.code, file=sys.stderr, flush=True)
        system.changed.wait(0.01)
        system.changed.clear()


def under_load(system: System, run: str) -> None:
    """Write from several threads for ever, sequencing at the same time."""
    sequencing.LEASE_TTL = 300
    threading.Thread(target=_drain, args=(system,), daemon=True).start()
    lock = threading.Lock()
    workers = [threading.Thread(target=_work, args=(system, f"{run}-{n}", lock)) for n in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def dying(system: System, point: str, key: str) -> None:
    """Make one change with an idempotency key and die at `point`, or live and print the answer."""
    with begin(system) as unit:
        if point == "after commit":
            unit.after_commit(_die)
        answer = once(unit, key, "body", lambda: change(unit, key, 1), keeps=dict)
        if point == "after row":
            _die()
        if point == "before commit":
            unit.before_commit(_die)
    if point == "before answer":
        _die()
    print(answer["number"], flush=True)


if __name__ == "__main__":
    opened = open_system(sys.argv[1], Path(sys.argv[2]))
    if len(sys.argv) > 4:
        dying(opened, sys.argv[3], sys.argv[4])
    else:
        under_load(opened, sys.argv[3])
