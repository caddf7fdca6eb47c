"""The main job: submit, train in a real sandbox from a parent to a child, watch, and find nothing left afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.runs.adapters.ground import PROJECT


def test_a_run_trains_from_a_parent_to_a_child_with_a_lower_loss_and_leaves_nothing(world: RunsWorld) -> None:
    world.grant("ada", "wren-train", WREN)
    first = world.until(world.submit(world.example(), arguments=("--steps", "20")))
    assert first.state == "succeeded", world.output(first)
    parent = world.facts("weights.CheckpointSealed")[0]["version"]

    second = world.until(world.submit(world.example(), parent=parent, arguments=("--steps", "20", "--seed", "8")))
    assert second.state == "succeeded", world.output(second)
    assert second.progress == 1000 and second.loss_micro is not None and second.loss_micro < 4_000_000
    child = world.facts("weights.CheckpointSealed")[1]
    assert child["parent"] == parent and child["run"] == second.id
    assert second.facts is not None and second.facts.tier == "bubblewrap"

    reader = world.run(environment="research", sandbox="bubblewrap")
    before, after = world.load(reader, parent), world.load(reader, child["version"])
    assert not np.array_equal(before["head.out"], after["head.out"])
    kinds = [fact["run"] for fact in world.facts("runs.RunStarted")]
    assert kinds == [first.id, second.id] and len(world.facts("runs.RunFinished")) == 2
    assert len(world.facts("egress.WayClosed")) == 2 and len(world.facts("identity.WorkloadEnded")) >= 2
    assert not list((world.state / "runs").glob("run_*"))


@pytest.mark.real_gvisor
def test_the_same_job_in_gvisor(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> None:
    assert (PROJECT / ".parts" / "bin" / "runsc").is_file(), "run `make parts` before the tests marked real_gvisor"
    world = RunsWorld(database, clock, tmp_path, short, **{"runs.sandbox": "gvisor"}).start()
    try:
        world.grant("ada", "wren-train", WREN)
        first = world.until(world.submit(world.example(), arguments=("--steps", "10")))
        assert first.state == "succeeded", world.output(first)
        parent = world.facts("weights.CheckpointSealed")[0]["version"]
        second = world.until(world.submit(world.example(), parent=parent, arguments=("--steps", "10")))
        assert second.state == "succeeded", world.output(second)
        assert second.facts is not None and "gvisor" in second.facts.kernel
    finally:
        world.close()
    assert "null-netns" not in Path("/proc/mounts").read_text()
