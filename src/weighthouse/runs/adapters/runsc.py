"""The gVisor driver: our own OCI bundle for `runsc`, no network, one host socket folder. For what matters most.

Guards the host's kernel from submitted code: system calls end in gVisor's kernel in user space (platform systrap;
kvm hangs on nested machines). The bundle has a read-only root made of nothing but mounts, user 65534, no capability,
no new privileges, and `--network=none`. Source: OCI runtime spec 1.2; gVisor user guide.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from weighthouse.core import canonical
from weighthouse.core.ids import new_id
from weighthouse.runs.adapters.cgroups import Group, Groups
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
from weighthouse.runs.adapters.held import Held, behind, make_point
from weighthouse.runs.adapters.volume import VOLUME, make, said
from weighthouse.runs.model import MIB, Limits
from weighthouse.runs.ports import SandboxSpec
from weighthouse.runs.rules import furniture
from weighthouse.runs.rules.inside import Expected

NOBODY = 65534
OWN_BYTES = 256 * MIB  # gVisor's own kernel and file server, beside the run
OWN_PROCESSES = 256  # their threads; inside, each of a run's threads has a few on the host
GIB = 1024 * MIB
POINTS = "points"  # where what is held is mounted, below the bundle
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
SHOWN = frozenset({"proc", "dev", "sys", "tmp", "etc", "usr", "lib", "lib64", "lib32", "bin", "sbin"})


class Runsc:
    """Driver behind `runs.ports.Sandbox`."""

    name = "runsc"
    tier = "gvisor"

    def __init__(
        self,
        binary: Path,
        *,
        platform: str = "systrap",
        rooted: bool | None = None,
        groups: Groups | None = None,
        on_disk: bool = False,
    ) -> None:
        self._binary = binary
        self._on_disk = on_disk
        self._groups = groups
        self._platform = platform
        self._rooted = os.geteuid() == 0 if rooted is None else rooted
        with binary.open("rb") as file:
            self.digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

    def start(self, spec: SandboxSpec) -> Contained:
        bundle, state = spec.folder / "bundle", spec.folder / "state"
        for folder in (bundle, bundle / "rootfs", bundle / POINTS, state):
            folder.mkdir(mode=0o700)
        with asked_of_the_machine(), Held() as held, contextlib.ExitStack() as owned:
            return self._start(spec, bundle, state, held, owned)

    def _start(
        self, spec: SandboxSpec, bundle: Path, state: Path, held: Held, owned: contextlib.ExitStack
    ) -> Contained:
        volume = make(spec, owned, own_user=not self._rooted, on_disk=self._on_disk)
        document = self._document(spec, bundle, held)
        (bundle / "config.json").write_bytes(msgspec.json.encode(document))
        name = new_id("box")
        threads = spec.limits.processes * 4 + OWN_PROCESSES
        group = make_group(self._groups, spec.limits, owned, overhead_bytes=OWN_BYTES, processes=threads)
        command = [*self._command(state), "run", "--bundle", str(bundle), name]
        largest = 0 if group else memory_file(spec.limits)
        cloned = behind(
            command, held.points(bundle / POINTS), own_user=not self._rooted, rights=True, processes=False
        )
        end = functools.partial(self._end, state, name)
        owned.callback(end)  # last of what runs: killing what was launched does not always reach what it has started
        process = launch(cloned, spec, owned, group, held.descriptors, file_bytes=largest, volume=volume)
        expected = Expected(
            runtime=self.name,
            tier=self.tier,
            digest=self.digest,
            specification=canonical.digest(document),
            confinement=f"{self._platform}, {self._started_by()}, {kept(group)}, {said(volume)}",
            host_release=os.uname().release,
            host_version=os.uname().version,
            roots=SHOWN | {Path(mount["destination"]).parts[1] for mount in document["mounts"]},
        )
        identity = NOBODY if self._rooted else 0  # rootless, that user inside is this server's own outside
        return Contained(
            process, expected, owned, still=spec.still, identity=identity, end=end, group=group, volume=volume
        )

    def _started_by(self) -> str:
        return "started by root" if self._rooted else "rootless"

    def _command(self, state: Path) -> list[str]:
        flags = [f"--root={state}", f"--platform={self._platform}", "--network=none", "--host-uds=open"]
        flags += ["--ignore-cgroups", "--overlay2=none", "--host-settings=ignore"]
        # The default shares one empty namespace by a mount below --root, which would stay behind on the host.
        flags += ["--gofer-network-namespace=new"]
        return [str(self._binary), *flags, *([] if self._rooted else ["--rootless"])]

    def _end(self, state: Path, name: str) -> None:
        """Kill the sandbox through its own runtime, which also reaps the file server process."""
        command = [*self._command(state), "delete", "--force", name]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=20, check=False)

    def _document(self, spec: SandboxSpec, bundle: Path, held: Held) -> dict[str, Any]:
        rootfs = bundle / "rootfs"
        order = guard_order({}, 0, spec.workdir, spec.command, dict(spec.variables))
        return {
            "ociVersion": "1.2.0",
            "process": {
                "terminal": False,
                "user": {"uid": NOBODY, "gid": NOBODY},
                "args": [spec.environment.python, "-I", "-S", GUARD_INSIDE, order],
                "env": ["PATH=/usr/bin:/bin"],
                "cwd": "/",
                "noNewPrivileges": True,
                "capabilities": {kind: [] for kind in CAPABILITY_SETS},
                "rlimits": _limits(spec.limits),
            },
            "root": {"path": str(rootfs), "readonly": True},
            "hostname": furniture.hostname(spec.name),
            "mounts": self._mounts(spec, bundle, held),
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
        }

    def _mounts(self, spec: SandboxSpec, bundle: Path, held: Held) -> list[dict[str, Any]]:
        """Return the mounts, having made in the empty root each point that they cover.

        What is not the system's own comes from a private point, where `cloning` mounts the descriptor that is held.
        """
        rootfs = bundle / "rootfs"
        shown = [(Path(path), path, False) for path in SYSTEM if Path(path).exists()]
        for source, target, _ in shown:
            if source.is_symlink():
                (rootfs / target[1:]).symlink_to(source.readlink())
        shown = [item for item in shown if not item[0].is_symlink()]
        shown += [(Path(path).resolve(), path, False) for path in SYSTEM_FILES if Path(path).exists()]
        outside = [folder for folder in spec.environment.folders if not folder.is_relative_to("/usr")]
        given = [(held.path(folder), str(folder), False) for folder in outside]
        given += [(held.path(GUARD), GUARD_INSIDE, False)]
        given += [(held.descriptor(mount.source), mount.target, mount.writable) for mount in spec.mounts]
        points = held.points(bundle / POINTS)
        for (_, target, writable), (_, point) in zip(given, points, strict=True):
            shown.append((Path(point), target, writable))
        mounts: list[dict[str, Any]] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
        options = ["nosuid", "nodev", "mode=1777", f"size={spec.limits.tmp_bytes}"]
        for target in ("/tmp", "/dev/shm"):  # noqa: S108  inside the sandbox
            mounts.append({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options})
        if spec.out:
            shown.append((spec.folder / VOLUME, spec.out, True))
        for source, target, writable in shown:
            make_point(rootfs / target[1:], source.is_dir())
            options = ["rbind" if source.is_dir() else "bind", "rw" if writable else "ro", "nosuid", "nodev"]
            mounts.append({"destination": target, "type": "bind", "source": str(source), "options": options})
        for path, text in furniture.files(spec.name, NOBODY).items():
            make_point(rootfs / path[1:], folder=False)
            (rootfs / path[1:]).write_text(text)
            (rootfs / path[1:]).chmod(0o444)
        for name in ("proc", "tmp", "dev", "sys"):
            (rootfs / name).mkdir(exist_ok=True)
        for folder in (rootfs, *rootfs.rglob("*")):
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o755)
        return mounts


def memory_file(limits: Limits) -> int:
    """Return how large the one file may grow in which gVisor keeps all memory of a run, /tmp and /dev/shm included.

    Where no control group is, this is the limit: the process that asks for more ends. gVisor grows the file by GiB.
    """
    return -(-(limits.memory_bytes + OWN_BYTES) // GIB) * GIB


def kept(group: Group | None) -> str:
    """Say what memory is limited by, for the facts of a run."""
    return limited(group) if group else "memory of the whole run limited, to the GiB, by gVisor's memory file"


def _limits(limits: Limits) -> list[dict[str, Any]]:
    wanted = {
        "RLIMIT_CORE": 0,  # gVisor writes none, whatever the host does with its own
        # Never RLIMIT_AS: libraries map more than they touch. gVisor itself counts little of what this limits.
        "RLIMIT_DATA": limits.memory_bytes,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": limits.files,
        "RLIMIT_FSIZE": limits.file_bytes,
    }
    return [{"type": kind, "hard": value, "soft": value} for kind, value in wanted.items()]
