"""What is played by the fork server is the build alone: else a proof could pass over the whole software."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.fork_server import STRANGER, ForkServer
from tests.attacks.removed_guards import SOURCE, Removal, build

TELL = "import os, sys, weighthouse as w; print(w.__file__, *sys.argv[1:], os.environ['PYTHONPATH']); sys.exit(1)"
ELSEWHERE = "import sys; sys.path.pop(1); import weighthouse.core.ids; print('MISSED'); sys.exit(1)"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(["json", "no_library_of_this_name"])
    yield made
    made.close()


@pytest.fixture
def build_of(tmp_path: Path) -> Path:
    (tmp_path / "weighthouse").mkdir()
    (tmp_path / "weighthouse" / "__init__.py").touch()
    return tmp_path


def test_a_fork_runs_its_own_build_and_tells_its_children_of_it(server: ForkServer, build_of: Path) -> None:
    done = server.run(TELL, "one", "two", source=build_of)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.split() == [f"{build_of}/weighthouse/__init__.py", "one", "two", str(build_of)]


def test_a_module_of_ours_from_elsewhere_is_no_proof(server: ForkServer, build_of: Path) -> None:
    done = server.run(ELSEWHERE, source=build_of)
    assert done.returncode == STRANGER and "NOT OF THE BUILD: weighthouse" in done.stdout, done


def test_a_fork_knows_nothing_of_the_one_before(server: ForkServer, build_of: Path) -> None:
    server.run("import weighthouse, os, json; json.left = 1; os.environ['LEFT'] = '1'", source=build_of)
    done = server.run("import json, os, sys; print(hasattr(json, 'left'), 'LEFT' in os.environ)", source=build_of)
    assert done.stdout.split() == ["False", "False"] and done.returncode == 0


def test_what_breaks_or_hangs_is_told_and_ends(server: ForkServer, build_of: Path) -> None:
    broken = server.run("raise ValueError('of the build')", source=build_of)
    assert broken.returncode == 1 and "ValueError: of the build" in broken.stderr and not broken.stdout
    with pytest.raises(TimeoutError):
        server.run("import time; time.sleep(600)", source=build_of, limit_s=0.5)
    assert server.run("print('here')", source=build_of).stdout == "here\n"


def test_a_library_that_brings_ours_along_or_a_thread_stops_the_server() -> None:
    for library in ("weighthouse.core.ids", "numpy"):
        with pytest.raises(AssertionError):
            ForkServer([library])


def test_a_build_changes_its_own_file_alone(tmp_path: Path) -> None:
    ids = SOURCE / "weighthouse" / "core" / "ids.py"
    before = ids.read_text()
    line = before.splitlines()[0]
    copy = build(Removal("no-attack", "core/ids.py", line, line.upper()), tmp_path)
    assert ids.read_text() == before != (copy / "weighthouse" / "core" / "ids.py").read_text()
