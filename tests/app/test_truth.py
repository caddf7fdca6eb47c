"""A server that decides nothing still says why: what the doctor reads must not fall silent with the decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.app.running import within
from tests.audit.support import Lab, Noted, bind_log
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.app import truth
from weighthouse.app.home import Home
from weighthouse.core.database import Database
from weighthouse.core.work import System


def test_a_server_that_decides_nothing_says_how_its_log_is(
    database: Database, make_system: Callable[[Database], System], tmp_path: Path
) -> None:
    lab = Lab(bind_log(make_system(database), tmp_path))
    lab.system.bind(Refusals, FileRefusals(tmp_path / "refusals"))
    lab.write(Noted(number=1))
    lab.system.part(Refusals).doubt_after(-1)
    loop = truth.telling(Home(tmp_path), lab.system)
    loop.start()
    file = tmp_path / truth.LOG
    within("it says something", file.exists)
    loop.stop()
    told = msgspec.json.decode(file.read_bytes(), type=truth.LogTold)
    assert told.size == 1 and any("does not know what was refused" in one for one in told.problems)
