"""What a sandbox must do, whichever program provides it: start, tell its facts, give lines, end.

Guards the runner from trusting a name: a handle exists only after the guard inside reported what it sees and the
driver judged that it is not the host (`runs.sandbox_is_host`). Contract suite: tests/ports/test_sandbox.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from weighthouse.runs.model import Environment, Facts, Limits, Line


class Mount(msgspec.Struct, frozen=True):
    """One thing that the sandbox may see, read-only unless said otherwise.

    `source` is a descriptor of exactly what was checked (core.folders.hold), never a path that could lead elsewhere
    by the time it is mounted. Whoever made the specification keeps it open until `start` returns, and closes it.
    """

    source: int
    target: str
    writable: bool = False


def unasked() -> None:
    """Nobody is asked whether the code may still start."""


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a sandbox is allowed to be. `folder` is private scratch of the driver (0700), never mounted."""

    name: str
    folder: Path
    environment: Environment
    command: tuple[str, ...]
    variables: Mapping[str, str]
    mounts: tuple[Mount, ...]
    workdir: str
    limits: Limits
    out: str = ""
    """Where the run finds its volume, the one place of a fixed size that it may write to; empty for none."""
    ends: float = 0.0
    """When it is killed from outside, whatever this server does: a moment of `time.monotonic`; 0 for never."""
    still: Callable[[], None] = unasked
    """Asked while its report is waited for, and once more when nothing but a word keeps the code from starting.

    What it raises ends the start there: the code never runs, and nothing of the sandbox is left.
    """


class Handle(Protocol):
    """A started sandbox."""

    @property
    def facts(self) -> Facts: ...

    @property
    def pid(self) -> int: ...

    @property
    def out(self) -> int | None:
        """A descriptor of the top folder of the run's volume, until `stop`; what it holds is hostile."""

    @property
    def owner(self) -> tuple[int, int]:
        """The user and the group that the run's code is on this machine: to them belongs what is made for it."""

    @property
    def overdue(self) -> bool:
        """Whether it was killed because `SandboxSpec.ends` had come."""

    def excess(self) -> str:
        """Return the code of what it takes that no limit of the kernel bounds, when it is too much; else nothing."""

    def lines(self, timeout_ms: int) -> list[Line]:
        """Return what was written since the last call, waiting up to `timeout_ms` for the first line."""

    def wait(self, timeout_ms: int) -> int | None:
        """Return the exit status (128 + signal when killed), or None while it runs."""

    def terminate(self) -> None:
        """Ask the workload to end (SIGTERM), and return at once; it may go on until `stop`."""

    def kill(self) -> None:
        """Kill what was started and with it all of the sandbox, and return at once; `stop` is still to be called."""

    def stop(self) -> None:
        """End every process of the sandbox now, and wait until they are gone."""


class Sandbox(Protocol):
    """A driver. `tier` is what resource classes ask for; `digest` names the runtime binary's bytes."""

    @property
    def name(self) -> str: ...

    @property
    def tier(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def start(self, spec: SandboxSpec) -> Handle:
        """Start and judge a sandbox; raises `runs.sandbox_is_host` or `runs.sandbox_failed` with nothing left.

        And `runs.machine_full`, where the same may succeed later in an empty folder: nothing is wrong with the order.
        """


class Ground(Protocol):
    """What this machine offers to runs. `submit` asks it too, so that an order that cannot run is refused at once."""

    def environment(self, digest: str) -> Environment | None:
        """Return the environment that `digest` names, None if this machine has another one."""

    def environments(self) -> list[Environment]: ...

    def dataset(self, name: str, others: Sequence[str] = ()) -> int | None:
        """Return a descriptor of a data set's folder, None if it is not here. Whoever gets it closes it.

        Raises `runs.dataset_nested` where whoever sees it sees one of the `others`, too.
        """

    def sandbox(self) -> Sandbox:
        """Return the strongest usable driver; raises `runs.no_sandbox`."""

    def forget(self) -> str:
        """Have the kernel forget which shared files runs have read, before runs of another environment look.

        Returns how: `whole` (the machine's cache), `files` (of those that are shown), `kept` by the operator's word,
        and an empty text where it should be done and cannot.
        """


class Gate(Protocol):
    """The socket of one run, through which its proxy reaches the control plane."""

    @property
    def path(self) -> Path: ...

    @property
    def refused(self) -> int:
        """How often the run was refused here, where that was too often; 0 before."""

    def expect(self, pids: Sequence[int]) -> None:
        """Answer these processes alone, as the kernel names who connects; nobody before this was called."""

    def close(self) -> None:
        """Answer nobody any more, and remove the socket."""


class Gates(Protocol):
    """Opens the gates of runs: which run speaks is which gate it came through."""

    def open(self, run: str, path: Path, most_refusals: int) -> Gate:
        """Listen on `path`, and answer until the run was refused so often; raises `app.cannot_listen`."""

    def path(self, run: str) -> Path | None:
        """Where the gate of a run is, None when it has none."""


class Tokens:
    """The tokens of running workloads, in memory only: the broker hands one to its own run and to nobody else."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def keep(self, run: str, token: str) -> None:
        with self._lock:
            self._tokens[run] = token

    def of(self, run: str) -> str | None:
        with self._lock:
            return self._tokens.get(run)

    def drop(self, run: str) -> None:
        with self._lock:
            self._tokens.pop(run, None)

    def __repr__(self) -> str:
        return "Tokens(…)"
