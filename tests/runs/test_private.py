"""Nothing of the server's own lies below what every run is shown: refused before anything is made, and at each start.

Runs case 58: as an ordinary user a run has the server's own user id, so what it is shown it reads and speaks to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weighthouse.app import declared
from weighthouse.app.doctor import examine
from weighthouse.app.home import Home
from weighthouse.app.initialise import initialise, load_settings, serveable
from weighthouse.core.errors import Unavailable
from weighthouse.core.settings import Settings
from weighthouse.runs.adapters import shown
from weighthouse.runs.adapters.ground import ThisMachine

pytestmark = pytest.mark.ordinary

SECRET = "a passphrase for tests only"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A virtual environment of this interpreter, as an operator has one; each run is shown all of it."""
    venv = tmp_path / "venv"
    venv.mkdir()
    monkeypatch.setattr(sys, "prefix", str(venv))
    return venv


def _refused(settings: Settings, home: Home) -> None:
    with pytest.raises(Unavailable) as refused:
        initialise(settings, home, SECRET)
    assert refused.value.code == "runs.private_shown"
    assert not home.exists()


def test_runs_case_58_no_state_is_made_below_the_interpreter_nor_through_a_link(seen: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(seen)
    for state in (seen / "state", tmp_path / "link" / "deep" / "state", seen):
        _refused(*load_settings({"mode": "development"}, state=state))
    assert list(seen.iterdir()) == []


def test_runs_case_58_the_passphrase_and_the_database_are_not_below_it_either(seen: Path, tmp_path: Path) -> None:
    for flags in ({"keys.passphrase_file": str(seen / "secret")}, {"database.url": f"sqlite:///{seen}/a.db"}):
        _refused(*load_settings({"mode": "development", **flags}, state=tmp_path / "state"))


def test_runs_case_58_data_sets_are_neither_above_nor_inside_the_state(seen: Path, tmp_path: Path) -> None:
    for datasets in (tmp_path, tmp_path / "state" / "objects"):
        datasets.mkdir(parents=True, exist_ok=True)
        _refused(*load_settings({"mode": "development", "runs.datasets": datasets}, state=tmp_path / "state"))


def test_a_system_that_was_made_elsewhere_is_not_served_nor_run_from_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, home = load_settings({"mode": "development", "keys.scrypt_cost": 1024}, state=tmp_path / "state")
    initialise(settings, home, SECRET).database.close()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(Unavailable) as refused:
        serveable(settings, home)
    assert refused.value.code == "runs.private_shown"
    with pytest.raises(Unavailable) as refused:
        ThisMachine(settings).sandbox()
    assert refused.value.code == "runs.private_shown" and "/var/lib" in refused.value.remedy
    row = next(one for one in examine(settings, home) if one.name == "sandbox")
    assert row.state == "missing" and str(home.root) in row.detail


CHECK = """
import sys; from pathlib import Path; from weighthouse.runs.adapters import shown
try: shown.check([Path(sys.argv[1])], [], [Path(sys.argv[2])])
except Exception as error: print(error.code)
else: print("allowed")
"""


@pytest.mark.parametrize(
    "way", ["the state is another place of a shown folder", "a shown folder has the state inside"]
)
def test_runs_case_58_a_bind_mount_hides_nothing(tmp_path: Path, way: str) -> None:
    """In a mount namespace of its own, as an ordinary user may make one too."""
    tree, state = tmp_path / "tree", tmp_path / "state"
    for folder in (tree / "inside" / "deep", state / "deep"):
        folder.mkdir(parents=True)
    bind = (tree / "inside", state) if way.startswith("the state") else (state, tree / "inside")
    script = f'mount --bind {bind[0]} {bind[1]} && exec "$0" -c "$1" {state}/deep {tree}'
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *own, "--mount", "sh", "-c", script, sys.executable, CHECK]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "runs.private_shown\n"


def test_what_lies_beside_is_allowed(seen: Path, tmp_path: Path) -> None:
    machine = ThisMachine(Settings(declared.settings(), flags={"state": tmp_path / "venv-state"}))
    machine.check_private()
    assert seen in shown.trees(machine.environments()[0], Path())
