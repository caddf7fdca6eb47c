"""Attack: order a public data set in whose folder another one lies, and read both.

The inner one has a class, an environment and holds of its own. A new policy refuses such names; where one is in force
from before, or where the folders lie so by a mount, no run is given the outer one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import WREN, RunsWorld
from tests.weights.world import LAB
from weighthouse.app import declared
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid, Unavailable
from weighthouse.core.settings import Settings
from weighthouse.policy import api as policy
from weighthouse.policy.rules import check, read
from weighthouse.runs.adapters.ground import ThisMachine

ONE = "  {name}:\n    class: {cls}\n    environment: {environment}\n    owner: training\n"
OUTER, INNER = "dataset/notes", "dataset/notes/secret"
READS = "import os\nprint(os.listdir('/data'))"


def listed(inner: str = INNER) -> str:
    both = ONE.format(name=OUTER, cls="public", environment="shared")
    both += ONE.format(name=inner, cls="frontier", environment="frontier")
    return LAB.read_text("utf-8").replace("  dataset/stdlib:\n", both + "  dataset/stdlib:\n", 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "notes" / "secret").mkdir(parents=True)
    (tmp_path / "data" / "apart").mkdir()
    return tmp_path / "data"


def test_a_policy_with_a_data_set_inside_another_is_refused_and_one_of_before_is_read() -> None:
    with pytest.raises(Invalid) as refused:
        policy.parse(listed(), "lab.yaml")
    assert refused.value.code == "policy.nested_dataset" and INNER in refused.value.message
    assert INNER in read.read_lab(listed(), "lab.yaml", kept=True).resources
    assert OUTER + "-more" in policy.parse(listed(OUTER + "-more"), "lab.yaml").resources


@pytest.fixture
def before(
    database: Database,
    clock: ManualClock,
    tmp_path: Path,
    short: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RunsWorld]:
    """A world whose policy was published before such names were refused."""
    with monkeypatch.context() as patch:
        patch.setattr(read, check.check_nested.__name__, lambda *_: None)
        made = RunsWorld(database, clock, tmp_path, short, listed(), **{"runs.datasets": data}).start()
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()


def test_no_run_is_given_a_data_set_in_which_another_lies(before: RunsWorld) -> None:
    with pytest.raises(Denied) as refused:
        before.submit(READS, dataset=OUTER)
    assert refused.value.code == "runs.dataset_refused"
    (line,) = before.facts("runs.ReferenceRefused")
    assert (line["field"], line["reference"], line["code"]) == ("dataset", OUTER, "runs.dataset_refused")
    assert before.until(before.submit("pass")).state == "succeeded"


def machine(data: Path, tmp_path: Path) -> ThisMachine:
    return ThisMachine(Settings(declared.settings(), flags={"state": tmp_path / "state", "runs.datasets": data}))


def test_a_folder_that_holds_that_of_another_is_not_handed_out(data: Path, tmp_path: Path) -> None:
    ground = machine(data, tmp_path)
    with pytest.raises(Unavailable) as refused:
        ground.dataset(OUTER, ["dataset/apart", INNER])
    assert refused.value.code == "runs.dataset_nested"
    for name, others in ((INNER, [OUTER, "dataset/apart"]), (OUTER, ["dataset/apart", "dataset/stdlib"])):
        held = ground.dataset(name, others)
        assert held is not None
        os.close(held)


MOUNTED = """
import sys; from pathlib import Path
from tests.runs.test_nested_data import machine
try: machine(Path(sys.argv[1]), Path("/nonexistent")).dataset("dataset/notes", ["dataset/apart"])
except Exception as error: print(error.code)
else: print("given")
"""


def test_a_bind_mount_of_one_into_another_is_seen(data: Path) -> None:
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = f'mount --bind {data}/apart {data}/notes/secret && exec "$0" -c "$1" {data}'
    command = ["unshare", *own, "--mount", "sh", "-c", script, sys.executable, MOUNTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "runs.dataset_nested\n"
