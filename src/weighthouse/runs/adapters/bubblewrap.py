"""The bubblewrap driver: namespaces, no capability, no network, read-only system. For machines with Python alone.

Guards the host and other runs from submitted code, sharing the host's kernel (the gVisor tier does not). As root each
run gets a user id of its own outside any user namespace, so that process limits bind; as an ordinary user it gets a
user namespace in which no further one can be made.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
from pathlib import Path

from weighthouse.core import canonical
from weighthouse.core.leash import leashed
from weighthouse.runs.adapters.contained import GUARD, GUARD_INSIDE, Contained, guard_order
from weighthouse.runs.model import Limits
from weighthouse.runs.ports import SandboxSpec
from weighthouse.runs.rules.inside import Expected

SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
FIRST_UID = 1_600_000_000  # outside every range that distributions hand out


class Bubblewrap:
    """Driver behind `runs.ports.Sandbox`."""

    name = "bubblewrap"
    tier = "bubblewrap"

    def __init__(self, binary: Path, *, rooted: bool | None = None) -> None:
        self._binary = binary
        self._rooted = os.geteuid() == 0 if rooted is None else rooted
        self.digest = "sha256:" + hashlib.sha256(binary.read_bytes()).hexdigest()

    def start(self, spec: SandboxSpec) -> Contained:
        arguments = self._arguments(spec)
        identity = FIRST_UID + secrets.randbelow(1_000_000) if self._rooted else 0
        order = guard_order(process_limits(spec.limits), identity, spec.workdir, spec.command, dict(spec.variables))
        process = subprocess.Popen(
            leashed([str(self._binary), *arguments, "--", spec.environment.python, "-I", "-S", GUARD_INSIDE, order]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
            cwd=spec.folder,
        )
        expected = Expected(
            runtime=self.name,
            tier=self.tier,
            digest=self.digest,
            specification=canonical.digest(arguments),
            confinement="own user id, no user namespace" if self._rooted else "user namespace",
            host_release=os.uname().release,
            host_version=os.uname().version,
            roots=frozenset(_tops(spec)),
        )
        return Contained(process, expected, lambda: None)

    def _arguments(self, spec: SandboxSpec) -> list[str]:
        arguments = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        if self._rooted:
            arguments += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            arguments += ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
            arguments += ["--cap-drop", "ALL"]
        arguments += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "run"]
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
                arguments += ["--ro-bind", str(folder), str(folder)]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        arguments += ["--ro-bind", str(GUARD), GUARD_INSIDE]
        for mount in spec.mounts:
            arguments += ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]
        return [*arguments, "--remount-ro", "/", "--chdir", "/"]


def _system(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _tops(spec: SandboxSpec) -> set[str]:
    """Names that may stand in the sandbox's top folder."""
    paths = [*SYSTEM, *SYSTEM_FILES, GUARD_INSIDE, "/proc", "/dev", "/tmp"]  # noqa: S108  inside the sandbox
    paths += [str(folder) for folder in spec.environment.folders] + [mount.target for mount in spec.mounts]
    return {path.split("/")[1] for path in paths}


def _parents(spec: SandboxSpec) -> list[str]:
    """Return the folders above every mount point, outermost first."""
    points = [str(folder) for folder in spec.environment.folders if not folder.is_relative_to("/usr")]
    points += [mount.target for mount in spec.mounts] + [GUARD_INSIDE, *SYSTEM_FILES]
    above = {str(parent) for point in points for parent in Path(point).parents}
    return sorted(above - {"/", "/tmp"})  # noqa: S108  the sandbox's own


def process_limits(limits: Limits) -> dict[str, int]:
    """Return the limits that the guard sets on itself before it executes anything."""
    return {
        "CORE": 0,
        "DATA": limits.memory_bytes,
        "NPROC": limits.processes,
        "NOFILE": limits.files,
        "FSIZE": limits.file_bytes,
    }
