"""The bubblewrap driver: namespaces, no capability, no network, filtered calls. For machines with Python alone.

Guards the host and other runs from submitted code, sharing the host's kernel (the gVisor tier does not). As root each
run gets a user id of its own outside any user namespace, so that process limits bind; as an ordinary user it gets a
user namespace in which no further one can be made. Behind the namespaces stands the filter of `rules.syscalls`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import resource
import secrets
import sys
from pathlib import Path

from weighthouse.core import canonical
from weighthouse.core.errors import Unavailable
from weighthouse.core.leash import NO_CORE
from weighthouse.runs.adapters import machine
from weighthouse.runs.adapters.cgroups import Groups, sessions_share
from weighthouse.runs.adapters.contained import (
    GUARD,
    GUARD_INSIDE,
    Contained,
    asked_of_the_machine,
    guard_order,
    launch,
    limited,
    make_group,
)
from weighthouse.runs.adapters.held import Held, behind
from weighthouse.runs.adapters.volume import make, said
from weighthouse.runs.model import Limits
from weighthouse.runs.ports import SandboxSpec
from weighthouse.runs.rules import furniture, syscalls
from weighthouse.runs.rules.inside import Expected

SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
FIRST_UID = 1_600_000_000  # outside every range that distributions hand out
NOBODY = 65534  # the user inside a user namespace
OWN_PROCESSES = 7  # bubblewrap's two, the two that start it, and the guard's two
GUARDS_OWN = 2  # of these, what runs as the run's own user
PARTS = 8  # of all files that this machine can have open, a run takes one part, however many processes it makes
LEAST_FILES = 64
MESSAGE_FILES = 253  # descriptors that one message carries (SCM_MAX_FD, unix(7))
SIGNALS = 1024  # waiting signals and timers
# The machine has one number of pseudo terminals (kernel.pty.max), which one run took; training needs none of them.
NO_TERMINALS = ["--size", "65536", "--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]


class Bubblewrap:
    """Driver behind `runs.ports.Sandbox`."""

    name = "bubblewrap"
    tier = "bubblewrap"

    def __init__(
        self, binary: Path, *, rooted: bool | None = None, groups: Groups | None = None, on_disk: bool = False
    ) -> None:
        self._binary = binary
        self._on_disk = on_disk
        self._groups = groups
        self._rooted = os.geteuid() == 0 if rooted is None else rooted
        self.digest = "sha256:" + hashlib.sha256(binary.read_bytes()).hexdigest()

    def start(self, spec: SandboxSpec) -> Contained:
        with asked_of_the_machine(), Held() as held, contextlib.ExitStack() as owned:
            return self._start(spec, held, owned)

    def _start(self, spec: SandboxSpec, held: Held, owned: contextlib.ExitStack) -> Contained:
        identity = FIRST_UID + secrets.randbelow(1_000_000) if self._rooted else 0
        arguments = self._arguments(spec, held)
        order = guard_order(process_limits(spec.limits), identity, spec.workdir, spec.command, dict(spec.variables))
        volume = make(spec, owned, own_user=not self._rooted, on_disk=self._on_disk)
        group = make_group(
            self._groups, spec.limits, owned, overhead_bytes=0, processes=spec.limits.processes + OWN_PROCESSES
        )
        # What a share of the processor does not hold is held to the one session that stands behind all others.
        one_session = sessions_share() and not (group and group.shares_processor)
        program = _program(one_session=one_session, shared_user=not self._rooted)
        filtered = held.passed(program)
        data, own = _furnished(spec, identity or NOBODY, held)
        if volume is not None:
            data += ["--bind", str(volume.point), spec.out]
        inside = ["--seccomp", str(filtered), "--", spec.environment.python, "-I", "-S", GUARD_INSIDE, order]
        points = held.points(spec.folder / "points")
        spelled = held.spelled(arguments, points)
        # By descriptor, for the command line is what every run reads at /proc/1/cmdline.
        passed = held.passed(b"".join(os.fsencode(each) + b"\0" for each in (*data, *spelled, *own)))
        command = [str(self._binary), "--args", str(passed), *inside]
        command = behind(command, points, own_user=not self._rooted, rights=False, processes=True)
        process = launch(command, spec, owned, group, held.descriptors, volume=volume)
        expected = Expected(
            runtime=self.name,
            tier=self.tier,
            digest=self.digest,
            specification=canonical.digest([*arguments, hashlib.sha256(program).hexdigest()]),
            confinement=f"{'own user id' if self._rooted else 'user namespace'}, {limited(group)}, {said(volume)}",
            filtered=True,
            host_release=os.uname().release,
            host_version=os.uname().version,
            roots=frozenset(_tops(spec)),
        )
        return Contained(process, expected, owned, still=spec.still, identity=identity, group=group, volume=volume)

    def _arguments(self, spec: SandboxSpec, held: Held) -> list[str]:
        arguments = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        if self._rooted:
            arguments += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            arguments += ["--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY)]
            # The guard is the first process: bubblewrap's own would have the run's user, and show it that pipe.
            arguments += ["--cap-drop", "ALL", "--as-pid-1"]
        arguments += ["--die-with-parent", "--clearenv", "--hostname", furniture.hostname(spec.name)]
        # Before the folders: an environment that itself lies below /tmp must not be hidden by it.
        arguments += ["--perms", "1777", "--size", str(spec.limits.tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108
        for above in _parents(spec):
            arguments += ["--perms", "0755", "--dir", above]  # bubblewrap itself would make them for root alone
        for path in SYSTEM:
            arguments += _system(Path(path))
        for path in SYSTEM_FILES:
            arguments += ["--ro-bind-try", path, path]
        for folder in spec.environment.folders:
            if not folder.is_relative_to("/usr"):
                arguments += ["--ro-bind", held.path(folder), str(folder)]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        arguments += machine.cover()
        # Else a run that root has started in a user namespace could write core_pattern, as the owner of that file.
        arguments += ["--remount-ro", "/proc"]
        # Shared memory has a size, and what lies around it cannot be written: neither is a store without a limit.
        arguments += ["--perms", "1777", "--size", str(spec.limits.tmp_bytes), "--tmpfs", "/dev/shm"]  # noqa: S108
        arguments += NO_TERMINALS
        arguments += ["--remount-ro", "/dev"]
        arguments += ["--ro-bind", held.path(GUARD), GUARD_INSIDE]
        for mount in spec.mounts:
            # From the point where it is mounted for us alone: what lies at a path of the host may be swapped by then.
            arguments += [
                "--bind" if mount.writable else "--ro-bind",
                held.descriptor(mount.source),
                mount.target,
            ]
        return [*arguments, "--remount-ro", "/", "--chdir", "/"]


def _program(*, one_session: bool, shared_user: bool) -> bytes:
    processor = platform.machine()
    if processor not in syscalls.MACHINES:
        raise Unavailable(
            "runs.sandbox_failed",
            f"The bubblewrap sandbox has no filter of system calls for this processor ({processor}).",
            "Use the gVisor sandbox here; build runsc with `make parts`.",
        )
    return syscalls.program(processor, one_session=one_session, shared_user=shared_user)


def _furnished(spec: SandboxSpec, uid: int, held: Held) -> tuple[list[str], list[str]]:
    """Return the arguments that put our own files into /etc, and those for /proc."""
    etc, proc = ["--perms", "0755", "--dir", "/etc"], list[str]()
    for arguments, files in (
        (etc, furniture.files(spec.name, uid).items()),
        (proc, machine.texts(spec.limits)),
    ):
        for path, text in files:
            arguments += ["--perms", "0444", "--ro-bind-data", str(held.passed(text.encode())), path]
    return etc, proc


def _system(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _tops(spec: SandboxSpec) -> set[str]:
    """Names that may stand in the sandbox's top folder."""
    paths = [*SYSTEM, *SYSTEM_FILES, GUARD_INSIDE, "/proc", "/dev", "/tmp"]  # noqa: S108  inside the sandbox
    paths += [str(folder) for folder in spec.environment.folders] + [mount.target for mount in spec.mounts]
    paths += [spec.out] if spec.out else []
    return {path.split("/")[1] for path in paths}


def _parents(spec: SandboxSpec) -> list[str]:
    """Return the folders above every mount point, outermost first."""
    points = [str(folder) for folder in spec.environment.folders if not folder.is_relative_to("/usr")]
    points += [mount.target for mount in spec.mounts] + [GUARD_INSIDE, *SYSTEM_FILES]
    above = {str(parent) for point in points for parent in Path(point).parents}
    return sorted(above - {"/", "/tmp"})  # noqa: S108  the sandbox's own


def process_limits(limits: Limits) -> dict[str, int]:
    """Return the limits that the guard sets on itself before it executes anything.

    Some bound what the kernel counts for a user or for the whole machine, of which the server needs its part.
    """
    return {
        "CORE": NO_CORE,
        "DATA": limits.memory_bytes,
        "NPROC": limits.processes + GUARDS_OWN,
        "NOFILE": max(
            LEAST_FILES, min(limits.files, open_at_once() // (PARTS * limits.processes), files_of_us() // 4)
        ),
        "FSIZE": limits.file_bytes,
        "SIGPENDING": SIGNALS,
        "MSGQUEUE": 0,
    }


def open_at_once() -> int:
    """Return how many files the whole machine can have open."""
    return int(Path("/proc/sys/fs/file-max").read_text())


def files_of_us() -> int:
    """Return how many files a process of this server may have open.

    What starts a run hands descriptors on, which the kernel refuses when more than this are under way for its user; a
    run of the same user brings as many under way as it may have open itself, and a message more for each process.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def files_needed(limits: Limits) -> int:
    """Return the limit of files from which on no run can hold up the start of another."""
    return process_limits(limits)["NOFILE"] + limits.processes * MESSAGE_FILES + limits.files
