"""What a run reads of its machine in /proc: a list of what may be seen, and everything else of it covered.

Guards what the whole kernel counts. Pages reclaimed, files open, load, interrupts: a run moves such a number, and a
later run of another environment reads it. So of the folder's own files, only those named here are shown; what usual
programs look for is a text that was written when the run started. What lies below a process's own folder is the
kernel's, by namespace, and stays. Source: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from weighthouse.runs.model import Limits

PROC = Path("/proc")
SHOWN = frozenset({"self", "thread-self", "net", "mounts", "version"})  # the first four lead to a process's own
# Constants of the kernel, and what was set when it was started; none of them moves with what anybody does.
SET = (
    "fs/file-max", "fs/nr_open", "fs/pipe-max-size",
    "kernel/cap_last_cap", "kernel/hostname", "kernel/ngroups_max", "kernel/osrelease", "kernel/ostype",
    "kernel/overflowgid", "kernel/overflowuid", "kernel/pid_max", "kernel/random/boot_id", "kernel/random/uuid",
    "kernel/threads-max", "kernel/version",
    "net/core/somaxconn",
    "vm/max_map_count", "vm/mmap_min_addr", "vm/overcommit_memory", "vm/overcommit_ratio",
)  # fmt: skip
MOVING = ("cpu MHz",)  # of /proc/cpuinfo
FOLDER_BYTES = "65536"


def cover() -> list[str]:
    """Return bubblewrap's arguments that cover, in a fresh /proc, all that is of the whole machine."""
    found: list[str] = []
    for name in sorted(os.listdir(PROC)):  # noqa: PTH208  names are all that is wanted
        path = PROC / name
        if name.isdigit() or name in SHOWN or name in TEXTS or name == "sys" or path.is_symlink():
            continue
        found += _empty(path) if path.is_dir() else ["--ro-bind", os.devnull, str(path)]
    return [*found, *_settings()]


def texts(limits: Limits) -> Iterator[tuple[str, str]]:
    """Return (path, text) of what is shown in place of the kernel's own."""
    for name, text in TEXTS.items():
        yield str(PROC / name), text(limits)


def _settings() -> list[str]:
    shown = [PROC / "sys" / name for name in SET if (PROC / "sys" / name).exists()]
    above = sorted({parent for path in shown for parent in path.parents if parent.is_relative_to(PROC / "sys")})
    found = ["--size", FOLDER_BYTES, "--tmpfs", str(PROC / "sys")]
    for folder in above[1:]:
        found += ["--perms", "0755", "--dir", str(folder)]
    for path in shown:
        found += ["--ro-bind", str(path), str(path)]
    return [*found, "--remount-ro", str(PROC / "sys")]


def _empty(path: Path) -> list[str]:
    return ["--size", FOLDER_BYTES, "--tmpfs", str(path), "--remount-ro", str(path)]


def _memory(limits: Limits) -> str:
    most = f"{limits.memory_bytes // 1024} kB"
    lines = {"MemTotal": most, "MemFree": most, "MemAvailable": most}
    lines |= dict.fromkeys(("Buffers", "Cached", "SwapCached", "SwapTotal", "SwapFree", "Shmem"), "0 kB")
    return "".join(f"{name + ':':<16}{value:>11}\n" for name, value in lines.items())


def _processors(_limits: Limits) -> str:
    lines = (PROC / "cpuinfo").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(MOVING))


def _counts(_limits: Limits) -> str:
    """Each processor, for programs that count them here, and the moment of the boot."""
    names = ["cpu ", *(f"cpu{number}" for number in range(os.cpu_count() or 1))]
    lines = [f"{name} {' '.join(['0'] * 10)}" for name in names]
    boot = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime"))
    return "\n".join([*lines, "intr 0", "ctxt 0", boot, "processes 1", "procs_running 1", "procs_blocked 0\n"])


def _uptime(_limits: Limits) -> str:
    return (PROC / "uptime").read_text().split()[0] + " 0.00\n"  # the second number is how idle the machine was


TEXTS: dict[str, Callable[[Limits], str]] = {
    "meminfo": _memory,
    "cpuinfo": _processors,
    "stat": _counts,
    "uptime": _uptime,
    "loadavg": lambda _limits: "0.00 0.00 0.00 1/1 1\n",
}
