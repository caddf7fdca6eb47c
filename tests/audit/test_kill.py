"""Sudden death: a writer under load is killed with SIGKILL, and nothing acknowledged is lost, nothing lacks its entry.

`WEIGHTHOUSE_KILLS` sets how many times each database's writer dies (12 in `make test`, 200 in `make soak`).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.audit.support import Lab, verifier
from tests.audit.writer import open_system
from weighthouse.audit import api
from weighthouse.core.clock import HOUR, ManualClock

KILLS = int(os.environ.get("WEIGHTHOUSE_KILLS", "12"))
WRITER = [sys.executable, "-m", "tests.audit.writer"]
ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.timeout(max(300, KILLS * 15)), *([pytest.mark.soak] if KILLS > 12 else [])]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def lab(url: str, tmp_path: Path) -> Iterator[Lab]:
    """Read what dead processes left, an hour later by the clock, so that their leases are over."""
    opened = Lab(open_system(url, tmp_path, ManualClock(time.time_ns() // 1_000_000 + HOUR)))
    opened.system.database.create_all()
    yield opened
    opened.system.database.close()


def await_backends(lab: Lab) -> None:
    """Wait until the server has noticed the death: a commit it had received may still be going on."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while lab.dialect == "postgresql" and lab.rows(others)[0][0]:
        pass


def killed_under_load(url: str, folder: Path, run: int, chance: random.Random) -> set[tuple[str, int]]:
    """Let a writer work, kill it at a random moment, and return what it had acknowledged."""
    process = subprocess.Popen(
        [*WRITER, url, str(folder), str(run)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    first = process.stdout.readline()
    assert first, process.stderr.read()
    time.sleep(chance.uniform(0.0, 0.3))  # not a synchronisation: the moment of death is meant to be random
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    # A line cut by the kill was not acknowledged.
    lines = [line for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")]
    return {(worker, int(number)) for worker, number in (line.split() for line in lines)}


def logged(lab: Lab) -> Counter[tuple[str, int]]:
    """Every change that has an entry, in the log or on its way there."""
    leaves = [row[0] for row in lab.rows("SELECT leaf FROM log_entry WHERE kind = 'test.Changed'")]
    leaves += [row[0] for row in lab.rows("SELECT leaf FROM log_outbox")]
    said = [msgspec.json.decode(bytes(leaf))["data"] for leaf in leaves]
    return Counter((data["worker"], data["number"]) for data in said)


def test_case_1_a_writer_killed_at_random_points_loses_nothing(lab: Lab, url: str, tmp_path: Path) -> None:
    chance = random.Random(20_261_123)
    acknowledged: set[tuple[str, int]] = set()
    for run in range(KILLS):
        acknowledged |= killed_under_load(url, tmp_path, run, chance)
        await_backends(lab)
        changed = {(row[0], int(row[1])) for row in lab.rows("SELECT worker, number FROM test_change")}
        assert acknowledged <= changed, "an acknowledged change is lost"
        entries = logged(lab)
        assert set(entries) == changed, "a change without its entry, or an entry without its change"
        assert max(entries.values()) == 1, "a change with two entries"
    api.start(lab.system)
    lab.settle()
    report = api.verify(lab.system)
    assert report == api.Report(True, len(changed), ())
    done = verifier(lab.export(tmp_path / "log"), "--strict")
    assert done.returncode == 0, done.stdout
    print(f"{lab.dialect}: {KILLS} kills, {len(acknowledged)} acknowledged, {len(changed)} changes, all with entries")


@pytest.mark.parametrize("point", ["after row", "before commit", "after commit", "before answer", "never"])
def test_case_1_killed_at_one_point_the_change_and_its_entry_are_both_there_or_neither(
    lab: Lab, url: str, tmp_path: Path, point: str
) -> None:
    done = subprocess.run(
        [*WRITER, url, str(tmp_path), point, "key-0001"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == (0 if point == "never" else -signal.SIGKILL), done.stderr
    await_backends(lab)
    happened = point in ("after commit", "before answer", "never")
    api.start(lab.system)
    lab.settle()
    assert len(lab.rows("SELECT * FROM test_change")) == lab.head().size == int(happened)
    # The client asks again with the same key: one effect, and the stored answer.
    again = subprocess.run(
        [*WRITER, url, str(tmp_path), "never", "key-0001"], cwd=ROOT, capture_output=True, check=False
    )
    assert (again.returncode, again.stdout) == (0, b"1\n"), again.stderr
    lab.settle()
    assert len(lab.rows("SELECT * FROM test_change")) == lab.head().size == 1
    assert api.verify(lab.system).ok
