"""The server's end of a lender: starts it beside a run and tells it what to lend. Guards keys from everybody else.

Socket and window lie where nobody else may look, and lose their names once the sandbox has them. The window is memory
(a tmpfs): what is lent is never on a disk. The process dies with the thread that started it, and with the pipe that
it is told through.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.core.leash import leashed
from weighthouse.weights.adapters import windows
from weighthouse.weights.adapters.lender.control import receive_answer, send_order
from weighthouse.weights.model import LoadTicket, SaveTicket
from weighthouse_sdk.lending_frames import WINDOW_BYTES

MEMORY = Path("/dev/shm")  # noqa: S108  memory, in a folder of our own that nobody else may enter
ANSWER_LIMIT_S = 20.0
PROGRAM = "weighthouse.weights.adapters.lender"
# The folders above are what keeps strangers out; the run's user id differs from ours.
READABLE = 0o644
WRITABLE = 0o666


class LenderProcesses:
    """Starts lenders of the server whose state folder is `state`. `memory` is where a tmpfs is mounted."""

    def __init__(self, state: Path, memory: Path = MEMORY) -> None:
        self._memory = memory
        self._mark = windows.mark_of(state)

    def start(self, folder: Path) -> LenderProcess:
        """Start one whose socket lies in `folder` (private, 0700), from the thread that lives as long as the run."""
        return LenderProcess(folder, self._memory, self._mark)

    def remove_left(self) -> int:
        """Remove what a server of this state folder that was killed has left in memory; return how many windows."""
        return windows.remove_left(self._memory, self._mark)


class LenderProcess:
    """One running lender."""

    def __init__(self, folder: Path, memory: Path, mark: str) -> None:
        self.socket = folder / "lender"
        self._out = folder / "lender.out"
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}
        self._shown: Path | None = None
        self._pipe, theirs = socket.socketpair()
        self._pipe.settimeout(ANSWER_LIMIT_S)
        try:
            if not is_memory(memory):
                raise OSError(f"{memory} is no tmpfs, and plain weights are put on no disk")
            self._shown = windows.make(memory, mark)
            self.window = self._shown / windows.NAME
            with theirs, socket.socket(socket.AF_UNIX) as listener, self.window.open("w+b") as window:
                os.posix_fallocate(window.fileno(), 0, WINDOW_BYTES)
                self.window.chmod(READABLE)
                listener.bind(str(self.socket))
                self.socket.chmod(WRITABLE)
                listener.listen()
                self._process = self._launch([theirs.fileno(), listener.fileno(), window.fileno()], folder)
        except OSError as error:
            self._pipe.close()
            self.hide()
            raise _failed(f"{error.strerror or error}") from error

    def _launch(self, passed: Sequence[int], folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-m", PROGRAM, *map(str, passed)]
        with self._out.open("wb") as out:
            return subprocess.Popen(
                leashed(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={},
                start_new_session=True,
                cwd=folder,
                pass_fds=tuple(passed),
            )

    @property
    def recipient(self) -> bytes:
        """The key that data keys are sealed to, for this lender alone."""
        return self._greeted()["recipient"]

    @property
    def signer(self) -> bytes:
        """The key that the manifests of what it writes are signed by."""
        return self._greeted()["signer"]

    def _greeted(self) -> dict[str, bytes]:
        with self._lock:
            if not self._keys:
                answer = self._hear()
                self._keys = {name: base64.b64decode(answer[name]) for name in ("recipient", "signer")}
            return self._keys

    def given(self, folder: int) -> None:
        """Have it read what the run was given at /in; `folder` stays the caller's."""
        self._tell({"do": "in"}, [folder])

    def begin(self, roots: Sequence[int], out: int | None, owner: tuple[int, int]) -> None:
        """Answer the processes below `roots` from now on; what they save goes to the volume `out`, as `owner`'s."""
        self.hide()
        self._tell({"do": "begin", "roots": list(roots), "owner": list(owner)}, [] if out is None else [out])

    def lend(self, ticket: LoadTicket) -> None:
        self._tell({"do": "load", "ticket": msgspec.to_builtins(ticket), "lasts": ticket.lease_until - ticket.now})

    def write(self, ticket: SaveTicket) -> None:
        self._tell({"do": "save", "ticket": msgspec.to_builtins(ticket)})

    def extend(self, lease: str, lasts_ms: int) -> None:
        self._tell({"do": "extend", "lease": lease, "lasts": lasts_ms})

    def end(self, lease: str) -> None:
        self._tell({"do": "end", "lease": lease})

    def hide(self) -> None:
        """Let no path lead to socket and window any more: who has them, has them."""
        self.socket.unlink(missing_ok=True)
        if self._shown is not None:
            shutil.rmtree(self._shown, ignore_errors=True)

    def stop(self) -> None:
        """End it, and with it every key that it has."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self.hide()

    def _tell(self, order: dict[str, Any], files: Sequence[int] = ()) -> None:
        self._greeted()
        with self._lock:
            try:
                send_order(self._pipe, order, list(files))
            except OSError as error:
                raise self._lost(str(error)) from None
            answer = self._hear()
        if "code" in answer:
            raise Conflict("weights.not_lent", answer["message"], answer["remedy"])

    def _hear(self) -> dict[str, Any]:
        try:
            return receive_answer(self._pipe)
        except (OSError, EOFError, ValueError) as error:
            raise self._lost(str(error) or "it has ended") from None

    def _lost(self, why: str) -> Unavailable:
        """What was not answered in time is not waited for again: an answer that came late would be the wrong one."""
        self._process.kill()
        said = ""
        with contextlib.suppress(OSError):
            said = self._out.read_text("utf-8", "replace").strip()[-300:]
        return _failed(said or why)


def is_memory(folder: Path) -> bool:
    """Whether what is written below `folder` stays in memory: the mount that it lies in is a tmpfs."""
    best, kind = -1, ""
    for line in Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines():
        _, point, found = line.split(" ")[:3]
        if folder.is_relative_to(point) and len(Path(point).parts) >= best:
            best, kind = len(Path(point).parts), found
    return kind in ("tmpfs", "ramfs")


def _failed(why: str) -> Unavailable:
    return Unavailable(
        "weights.no_lender",
        f"The lender of this run does not answer: {why}.",
        "Submit the run again; `weighthouse doctor` says whether runs can work here. /dev/shm must be a tmpfs with "
        f"room for {WINDOW_BYTES >> 20} MiB a run.",
    )
