"""A Python that has loaded other people's libraries and nothing of ours, forked once for each build that is played.

Guards the proofs of removed guards from one another: each fork loads all that is ours from its own build, and its
program tells if any of it came from elsewhere. What they share is what no removal changes, whose loading took most of
a proof's time.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = "weighthouse"
START_S = 120
STRANGER = 3
# Prints what a stage loads that is not ours, in the order in which it does.
LIBRARIES = f"""
import json, sys
from weighthouse.app.demo.stage import Stage
from weighthouse.assurance import api
with Stage():
    print(json.dumps([name for name in sys.modules if name.partition(".")[0] not in ("{OURS}", "__main__")]))
"""


def ours() -> dict[str, ModuleType]:
    """Return what this process has loaded of the package whose guards are taken out."""
    return {name: one for name, one in sys.modules.items() if name.partition(".")[0] == OURS}


def strangers(build: str) -> list[str]:
    """Name what this process has loaded of ours that does not lie in `build`."""
    return [name for name, one in ours().items() if not str(one.__file__).startswith(f"{build}/{OURS}/")]


def libraries() -> list[str]:
    """Name every module that a stage loads and that is not ours."""
    done = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, check=True, timeout=START_S)
    found: list[str] = json.loads(done.stdout)
    return found


class ForkServer:
    """Runs programs one after another, each in a fork of its own that has the `libraries`. `close` ends it."""

    def __init__(self, libraries: Sequence[str]) -> None:
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=Path(__file__).parents[2]
        )
        self._say(json.dumps(libraries).encode() + b"\n")
        if self._heard(START_S) != b"ready":
            self.close()
            raise AssertionError("the fork server did not start; it says above why")

    def run(
        self, program: str, *arguments: str, source: Path, limit_s: float = START_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a program against the build in `source`, as `python -c` does that has it as PYTHONPATH.

        Its status is 3 if anything of ours that it loaded does not lie there.
        """
        with tempfile.TemporaryDirectory(prefix="wh-fork-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            order = {
                "program": program,
                "arguments": arguments,
                "source": str(source),
                "out": str(out),
                "err": str(err),
            }
            self._say(json.dumps(order).encode() + b"\n")
            child = int(self._heard(limit_s))
            try:
                status = int(self._heard(limit_s))
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._heard(limit_s)
                raise
            return subprocess.CompletedProcess([program, *arguments], status, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the server; each of its children has ended."""
        self._process.communicate(timeout=START_S)

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)

    def _heard(self, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        ready = select.poll()  # not select(), which knows no descriptor beyond 1,023
        ready.register(self._process.stdout, select.POLLIN)
        if not ready.poll(limit_s * 1000):
            raise TimeoutError(f"the fork server said nothing within {limit_s} s")
        return bytes(self._process.stdout.readline()).strip()


def _load(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):  # a library's own affair, loaded by it alone
            importlib.import_module(name)
    assert not ours(), "a library brought a part of ours along"
    assert len(list(Path("/proc/self/task").iterdir())) == threading.active_count() == 1, (
        "forking would lose a thread"
    )
    gc.collect()
    gc.freeze()  # what all forks share is not walked, and so not copied, by what each of them collects


def _line() -> bytes:
    """Read one line and nothing beyond it: what a fork has read ahead, its server would never see."""
    read: bytes = sys.stdin.buffer.raw.readline()  # type: ignore[attr-defined]
    return read


def _serve() -> dict[str, Any] | None:
    """Fork for each order until there is none more; return the order in the fork, and None in the end."""
    _load(json.loads(_line()))
    print("ready", flush=True)
    while line := _line():
        child = os.fork()
        if not child:
            order: dict[str, Any] = json.loads(line)
            return order
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def _become(order: dict[str, Any]) -> None:
    """Make of this fork what `python -c` would be over the build."""
    for number, path in enumerate((os.devnull, order["out"], order["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.environ["PYTHONPATH"] = order["source"]
    sys.path[:] = ["", order["source"], *sys.path[1:]]
    sys.argv = ["-c", *order["arguments"]]


if __name__ == "__main__" and (found := _serve()):
    _become(found)
    try:
        exec(compile(found["program"], "<string>", "exec"), {"__name__": "__main__"})
    finally:
        if others := strangers(found["source"]):
            print("NOT OF THE BUILD:", *others)
            sys.exit(STRANGER)
