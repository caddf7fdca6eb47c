"""A server that is killed while a sandbox starts leaves a window in memory; the next of its state folder removes it."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from weighthouse.weights.adapters import windows
from weighthouse.weights.adapters.lending import MEMORY, LenderProcesses

KILLED = """
import os, signal, sys
from pathlib import Path
from weighthouse.weights.adapters.lending import LenderProcesses
made = LenderProcesses(Path(sys.argv[1])).start(Path(sys.argv[2]))
print(made.window, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(state: Path, folder: Path) -> Path:
    """Have a server start a lender, and be killed before its sandbox has the window."""
    folder.mkdir(mode=0o700)
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, str(state), str(folder)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == -9, ran.stderr
    return Path(ran.stdout.strip())


def left(memory: Path, state: Path) -> Path:
    made = windows.make(memory, windows.mark_of(state)) / windows.NAME
    made.write_bytes(bytes(4096))
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    (tmp_path / "shm").mkdir()
    return tmp_path / "shm"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="wh-") as folder:
        yield Path(folder)


def test_what_a_killed_server_left_in_memory_goes_when_the_next_one_starts(state: Path, short: Path) -> None:
    window, other = killed(state, short / "a"), short / "other"
    other.mkdir()
    assert window.stat().st_size > 0 and window.parent.parent == MEMORY
    assert LenderProcesses(other).remove_left() == 0 and window.exists(), "another server's is not touched"
    for _ in range(50):  # the lender ends with the thread that started it, which the kernel may tell a little later
        if LenderProcesses(state).remove_left():
            break
    assert not window.exists() and not window.parent.exists()


@pytest.mark.parametrize("how", ["open", "mapped", "in another process"])
def test_a_window_that_a_process_has_stays(state: Path, memory: Path, how: str) -> None:
    window = left(memory, state)
    mark = windows.mark_of(state)
    if how == "in another process":
        code = "import sys; f = open(sys.argv[1]); print('has it', flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(window)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stdout.readline()
            assert windows.remove_left(memory, mark) == 0
            process.kill()
    else:
        with window.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 4096) if how == "mapped" else None
            if mapped is None:
                assert windows.remove_left(memory, mark) == 0
        if mapped is not None:
            assert windows.remove_left(memory, mark) == 0
            mapped.close()
    assert windows.remove_left(memory, mark) == 1
    assert list(memory.iterdir()) == []


def test_no_link_is_followed_and_nothing_else_is_removed(state: Path, memory: Path, tmp_path: Path) -> None:
    mark = windows.mark_of(state)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / windows.NAME).write_text("x")
    (memory / f"{mark}abcdefgh").symlink_to(precious)
    linked = windows.make(memory, mark)
    (linked / windows.NAME).symlink_to(precious / windows.NAME)
    more = left(memory, state)
    (more.parent / "notes").write_text("somebody's")
    (memory / f"{mark}too-long-a-name").mkdir()
    (memory / "weighthouse-abcdefgh").mkdir()
    assert windows.remove_left(memory, mark) == 0
    assert (precious / windows.NAME).read_text() == "x" and more.exists() and len(list(memory.iterdir())) == 5


def test_what_belongs_to_somebody_else_stays(state: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    window = left(memory, state)
    monkeypatch.setattr(os, "geteuid", lambda: window.stat().st_uid + 1)
    assert windows.remove_left(memory, windows.mark_of(state)) == 0 and window.exists()
