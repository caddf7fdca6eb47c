"""Power cuts: after any step of the disk, whatever was acknowledged is there, and the log goes on by itself.

`WEIGHTHOUSE_CUTS` sets how many cuts are tried (60 in `make test`; 0 tries every one).
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.audit.power import Disk, RecordingOs
from tests.audit.support import Lab, Noted, bind_log
from weighthouse.audit import api
from weighthouse.audit.adapters import embedded
from weighthouse.core import durable, store
from weighthouse.core.clock import SECOND, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import System, begin

CUTS = int(os.environ.get("WEIGHTHOUSE_CUTS", "60"))
CHANGES = 40
pytestmark = [pytest.mark.timeout(1800), *([] if CUTS else [pytest.mark.soak])]
Make = Callable[[Database], System]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "live").mkdir()
    made = Disk(tmp_path / "live")
    recording = RecordingOs(made)
    for module in (embedded, durable):
        monkeypatch.setattr(module, "os", recording)
    monkeypatch.setattr(embedded, "_SYNC_EVERY_S", 0.005)  # several syncs, however quick the machine is
    return made


def live(disk: Disk, make_system: Make, clock: ManualClock, *pragmas: str) -> int:
    """Write changes on the recorded disk, with frequent checkpoints of the write-ahead log; return when they began."""
    with disk.recording():
        database = Database(f"sqlite:///{disk.folder / 'weighthouse.db'}")

        def tune(connection: Any, *_: object) -> None:
            for pragma in ("wal_autocheckpoint = 20", *pragmas):
                connection.execute(f"PRAGMA {pragma}")

        event.listen(database.engine, "connect", tune)
        database.create_all()
        system = bind_log(make_system(database), disk.folder)
        began = len(disk.steps)
        for number in range(CHANGES):
            with begin(system) as unit:
                store.write_lease(unit.conn, f"change-{number}", "x", 1, 1, new=True)
                api.append(unit, Noted(number=number))
            disk.acknowledge()
            clock.advance(SECOND // 3)
        assert (disk.folder / "weighthouse.db-shm").exists(), "the real VFS lost the name it was given"
        steps = list(disk.steps)  # closing would tidy up, which a power cut does not
        database.close()
    disk.steps = steps
    return began


def survivor(disk: Disk, make_system: Make, cut: int, to: Path, chance: random.Random | None) -> tuple[int, int]:
    """Open what a cut leaves, as a server that starts again; return (acknowledged, found) after checking it whole."""
    to.mkdir()
    acknowledged = disk.at(cut, to, chance)
    database = Database(f"sqlite:///{to / 'weighthouse.db'}")
    lab = Lab(bind_log(make_system(database), to))
    try:
        api.start(lab.system)
        found = lab.head().size
        assert api.verify(lab.system) == api.Report(True, found, ())
        assert lab.rows("SELECT count(*) FROM core_lease")[0][0] == found, "a change without its entry"
        lab.many(1)
    finally:
        database.close()
    return acknowledged, found


def cuts(disk: Disk, began: int) -> list[int]:
    every = range(began, len(disk.steps) + 1)
    return list(every) if not CUTS else sorted(random.Random(7).sample(every, min(CUTS, len(every))))


@pytest.mark.parametrize("torn", [False, True], ids=["unsynced-gone", "unsynced-torn"])
def test_case_2_a_power_cut_at_any_step_loses_nothing_acknowledged(
    disk: Disk, make_system: Make, clock: ManualClock, tmp_path: Path, torn: bool
) -> None:
    began = live(disk, make_system, clock)
    kinds = {(step.what, Path(step.path).suffix) for step in disk.steps[began:]}
    assert {("sync", ".db-wal"), ("sync", ".db"), ("sync", ".memory")} <= kinds, "no checkpoint was cut"
    for cut in cuts(disk, began):
        chance = random.Random(cut) if torn else None
        acknowledged, found = survivor(disk, make_system, cut, tmp_path / f"cut-{cut}", chance)
        assert acknowledged <= found <= acknowledged + 1


def test_case_2_without_full_syncs_the_same_cuts_do_lose_something(
    disk: Disk, make_system: Make, clock: ManualClock, tmp_path: Path
) -> None:
    """The test above shows something only if this one sees a loss."""
    live(disk, make_system, clock, "synchronous = NORMAL")
    lost = 0
    for cut in [place + 1 for place, step in enumerate(disk.steps) if step.what == "acknowledged"]:
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        acknowledged = disk.at(cut, folder, None)
        with closing(sqlite3.connect(folder / "weighthouse.db")) as database:
            found = database.execute("SELECT count(*) FROM core_lease").fetchone()[0]
        lost += acknowledged > found
    assert lost > CHANGES // 4
