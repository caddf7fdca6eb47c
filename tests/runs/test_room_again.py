"""What a run has saved is its own: it lists, reads and removes it, so that a small /out serves a long training.

Under a root server a run's code is another user than whoever encrypts for it. What was saved belonged to root then,
and the room of /out was only ever taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database

OUT_MIB, SAVE_MIB, SAVES = 48, 9, 16
TIERS = ["bubblewrap", pytest.param("gvisor", marks=pytest.mark.real_gvisor)]
ROOM = f"""
import os, shutil, stat
import numpy
from pathlib import Path
from weighthouse_sdk.workload import Workload
way, out = Workload(), Path("/out")
given = {{"w": numpy.frombuffer(os.urandom({SAVE_MIB} << 20), "uint8")}}
for turn in range({SAVES}):
    version = way.save(os.environ["WEIGHTHOUSE_MODEL"], given)["id"]
    back = way.load(version) if turn % 5 == 0 else given
    assert (back["w"] == given["w"]).all()
    files = [path for path in out.rglob("*") if path.is_file()]
    assert sum(len(path.read_bytes()) for path in files) > {SAVE_MIB} << 20, files
    mine = {{(path.stat().st_uid, path.stat().st_gid) for path in out.rglob("*")}}
    assert mine == {{(os.getuid(), os.getgid())}}, mine
    modes = {{stat.S_IMODE(path.stat().st_mode) for path in out.rglob("*")}}
    assert modes == {{0o600, 0o700}}, modes
    if turn % 2:
        for path in out.iterdir(): shutil.rmtree(path)
    else:
        files[0].unlink()
        for path in out.iterdir(): shutil.rmtree(path)
    assert not list(out.iterdir())
print("saved", turn + 1, flush=True)
"""
# What was signed is altered by its owner before the commit: the same refusal as from an ordinary server.
ALTERS = """
import os, numpy
from pathlib import Path
from weighthouse_sdk import lending
from weighthouse_sdk.workload import Workload
from weighthouse_sdk.errors import SdkError
save = lending.save
def altered(*given, **named):
    envelope = save(*given, **named)
    for path in Path("/out").rglob("*.floe"):
        data = bytearray(path.read_bytes()); data[-1] ^= 1; path.write_bytes(data)
    return envelope
lending.save = altered
try: print(Workload().save(os.environ["WEIGHTHOUSE_MODEL"], {"w": numpy.ones(9, "uint8")}))
except SdkError as error: print("refused", error.code, flush=True)
"""


@pytest.fixture(params=TIERS)
def lab(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path, request: pytest.FixtureRequest
) -> Iterator[RunsWorld]:
    flags = {"runs.sandbox": request.param, "runs.out_mib": OUT_MIB}
    made = RunsWorld(database, clock, tmp_path, short, **flags).start()
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()


@pytest.mark.as_root
@pytest.mark.timeout(600)
def test_a_run_of_a_root_server_saves_several_times_what_its_room_holds(lab: RunsWorld) -> None:
    assert SAVE_MIB * SAVES > 2 * OUT_MIB
    run = lab.submit(ROOM)
    ended = lab.until(run, seconds=300)
    assert ended.state == "succeeded" and lab.output(run, "out") == [f"saved {SAVES}"], lab.output(run)
    assert len(lab.facts("weights.CheckpointSealed")) == SAVES


@pytest.mark.as_root
def test_what_its_owner_alters_after_it_was_signed_is_not_taken(lab: RunsWorld) -> None:
    run = lab.submit(ALTERS)
    lab.until(run)
    assert lab.output(run, "out") == ["refused weights.bad_shard"], lab.output(run)
    assert not lab.facts("weights.CheckpointSealed")
