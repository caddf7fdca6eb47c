"""Control groups: one limit on the memory and the processes of a whole run. Guards the machine from the sum of them.

Limits of a process (`RLIMIT_*`) do not see shared memory or memory files, and count each process of a run anew; a
control group counts all of it. Used where this server may make one: version 1 as root, version 2 in a tree that
systemd has delegated (`Delegate=memory pids cpu`, `DelegateSubgroup=server`). Where it may not, a run's facts say so.
Source: Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from pathlib import Path

from weighthouse.runs.model import Limits

PREFIX = "weighthouse-"
CONTROLLERS = ("memory", "pids")
# Beside them where it may be had. A run in a group of its own counts as one, however many sessions it makes: without,
# the kernel gives each session a share like that of the server (sched(7), autogroup), and 58 of them starve it.
PROCESSOR = "cpu"
SHARES = (("cpu.shares", "512"), ("cpu.weight", "50"))  # half of what anything else on the machine has
# What sockets hold counts as memory in version 2; in version 1 only once it has a limit of its own. Without, one run
# took what the kernel has for the sockets of the whole machine (tcp(7), tcp_mem), and nobody's got any.
SOCKETS = ("memory.kmem.tcp.limit_in_bytes", str(64 << 20))
# Version 1 counts memory and swap together in a second number, without which a run goes on into the machine's swap.
WITH_SWAP = "memory.memsw.limit_in_bytes"
WHOLE = (
    "memory.max",
    "memory.limit_in_bytes",
    WITH_SWAP,
)  # in this order: the last is never less than the one before
EMPTY_LIMIT_S = 10.0
SESSIONS = "/proc/sys/kernel/sched_autogroup_enabled"


class Group:
    """The control group of one run; `join` are the files that a process writes itself into."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    @property
    def join(self) -> tuple[str, ...]:
        return tuple(str(folder / "cgroup.procs") for folder in self._folders)

    @property
    def shares_processor(self) -> bool:
        """Whether the run counts as one for the processor, however many sessions it makes."""
        return any((folder / file).exists() for folder in self._folders for file, _ in SHARES)

    def out_of_memory(self) -> bool:
        """Return whether the kernel ended a process because the run had used all of its memory."""
        for folder in self._folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    words = dict(line.split()[:2] for line in (folder / name).read_text().splitlines())
                    if int(words.get("oom_kill", "0")):
                        return True
        return False

    def end(self) -> None:
        """Kill whatever is left inside, and remove the group once it is empty."""
        deadline = time.monotonic() + EMPTY_LIMIT_S
        for folder in self._folders:
            while folder.is_dir() and time.monotonic() < deadline:
                for pid in _inside(folder):
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.01)


class Groups:
    """Where this server may make control groups: one folder that has every controller, or one for each."""

    def __init__(self, bases: tuple[Path, ...]) -> None:
        self._bases = bases
        self._name = f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-"

    def make(self, limits: Limits, *, overhead_bytes: int, processes: int) -> Group:
        """Make a group with these limits; raises OSError with nothing left if it cannot be made whole."""
        name = self._name + secrets.token_hex(6)
        group = Group(tuple(base / name for base in self._bases))
        memory = str(limits.memory_bytes + overhead_bytes)
        wanted = (*((name, memory) for name in WHOLE), ("memory.swap.max", "0"))
        try:
            for base in self._bases:
                folder = base / name
                folder.mkdir()
                for file, value in (*wanted, *SHARES, SOCKETS, ("pids.max", str(processes))):
                    if (folder / file).exists():
                        (folder / file).write_text(value)
        except BaseException:
            group.end()
            raise
        return group

    @property
    def share_processor(self) -> bool:
        """Whether groups made here can."""
        group = self.make(Limits(), overhead_bytes=0, processes=1)
        try:
            return group.shares_processor
        finally:
            group.end()

    def sweep(self) -> None:
        """Remove empty groups of servers that are gone."""
        for base in self._bases:
            for folder in base.glob(PREFIX + "*"):
                words = folder.name.removeprefix(PREFIX).split("-")
                if len(words) == 3 and words[0].isdigit() and _started(int(words[0])) != words[1]:
                    with contextlib.suppress(OSError):
                        folder.rmdir()


def find() -> Groups | None:
    """Return where groups may be made, having made and removed one; None where they may not."""
    for bases in (_version_2(), _version_1((*CONTROLLERS, PROCESSOR)), _version_1(CONTROLLERS)):
        if not bases:
            continue
        groups = Groups(bases)
        with contextlib.suppress(OSError):
            groups.sweep()
            groups.make(Limits(), overhead_bytes=0, processes=1).end()
            return groups
    return None


def sessions_share() -> bool:
    """Whether this kernel gives each new session a share of the processor like any other's (sched(7), autogroup)."""
    return _text(SESSIONS).strip() == "1"


def _version_1(controllers: tuple[str, ...]) -> tuple[Path, ...]:
    mounts = {kind: Path(at) for kind, at in _mounts("cgroup")}
    own = _own()
    bases = []
    for kind in controllers:
        at = next((at for kinds, at in mounts.items() if kind in kinds.split(",")), None)
        if at is None:
            return ()
        inside = at / own.get(kind, "/").lstrip("/")
        bases.append(inside if inside.is_dir() else at)
    return tuple(dict.fromkeys(bases))


def _version_2() -> tuple[Path, ...]:
    """Return the delegated folder above our own, with its controllers switched on; nothing when there is none."""
    at = next((Path(at) for _, at in _mounts("cgroup2")), None)
    path = _own().get("")
    if at is None or path is None:
        return ()
    base = (at / path.lstrip("/")).parent
    with contextlib.suppress(OSError):
        offered = (base / "cgroup.controllers").read_text().split()
        if not _delegated(base) or not set(CONTROLLERS) <= set(offered):
            return ()
        wanted = [kind for kind in (*CONTROLLERS, PROCESSOR) if kind in offered]
        (base / "cgroup.subtree_control").write_text(" ".join("+" + kind for kind in wanted))
        return (base,)
    return ()


def _delegated(folder: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _mounts(kind: str) -> list[tuple[str, str]]:
    """Return (options, mount point) of every mount of one file system type."""
    rows = [line.split() for line in _text("/proc/self/mounts").splitlines()]
    return [(row[3], row[1]) for row in rows if len(row) > 3 and row[2] == kind]


def _own() -> dict[str, str]:
    """Return this process's path by controller; the empty name is version 2."""
    found: dict[str, str] = {}
    for line in _text("/proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        found.update(dict.fromkeys(kinds.split(","), path))
    return found


def _inside(folder: Path) -> list[int]:
    return [int(line) for line in _text(str(folder / "cgroup.procs")).split()]


def _started(pid: int) -> str:
    """Return when a process began, as the kernel counts; empty when there is none."""
    with contextlib.suppress(IndexError):
        return _text(f"/proc/{pid}/stat").rpartition(")")[2].split()[19]
    return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
