"""The interpreter that runs get is named as a sandbox can find it, whatever the server was started as."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weighthouse.runs.adapters.ground import own_environment

SHOW = """
from weighthouse.runs.adapters.ground import own_environment
found = own_environment()
print(found.digest, found.python, *found.folders)
"""


@pytest.mark.parametrize("how", ["a folder and back", "a link to the environment"])
def test_however_the_server_was_started_runs_get_the_same_interpreter(how: str, tmp_path: Path) -> None:
    bin_ = Path(sys.executable).parent
    if how == "a folder and back":
        started = f"{bin_.parent}/lib/../{bin_.name}/{Path(sys.executable).name}"
    else:
        (tmp_path / "linked").symlink_to(bin_.parent)
        started = f"{tmp_path}/linked/{bin_.name}/{Path(sys.executable).name}"
    done = subprocess.run([started, "-c", SHOW], capture_output=True, text=True, check=True)
    digest, python, *folders = done.stdout.split()
    here = own_environment()
    assert (digest, python) == (here.digest, here.python) and folders == [str(one) for one in here.folders]
    assert python == os.path.normpath(python) and Path(python).parent == Path(python).parent.resolve()
    assert any(Path(python).is_relative_to(folder) for folder in folders)
