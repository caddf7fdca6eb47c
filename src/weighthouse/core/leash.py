"""Lets the kernel kill a child when the thread that started it dies. Guards against orphans of a killed server.

A control plane that is killed can no longer meter or stop a run, so neither a run nor its proxy may outlive it.
`leashed` prefixes a command with this very file, executed with `python -I -S`: it sets the parent-death signal,
forbids core dumps (they would hold plain weights and what passed through a proxy), joins control groups, then execs
the command, so that nothing it ever starts is outside of them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
ORPHAN = 96
# Not 0: where the kernel pipes dumps to a program (systemd-coredump, apport), only a limit of 1 stops it; and a dump
# of one byte is below the smallest that it writes to a file. Source: Linux fs/coredump.c, do_coredump.
NO_CORE = 1


def leashed(command: Sequence[str], join: Sequence[str] = (), *, file_bytes: int = 0) -> list[str]:
    """Return `command`, an absolute path and its arguments, so prefixed that it dies with the calling thread.

    `join` are files of control groups (`cgroup.procs`) to enter first; `file_bytes` is the largest file that the
    command may make, 0 for no limit.
    """
    first = [str(os.getpid()), str(file_bytes), str(len(join)), *join]
    return [sys.executable, "-I", "-S", __file__, *first, *command]


def main() -> None:
    parent = int(sys.argv[1])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (NO_CORE, NO_CORE))
    if os.getppid() != parent:  # the parent died between fork and prctl, and no signal will come
        sys.exit(ORPHAN)
    largest, first = int(sys.argv[2]), 4 + int(sys.argv[3])
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    for group in sys.argv[4:first]:
        with open(group, "w") as file:  # noqa: PTH123  no import that is not needed
            file.write("0")
    os.execv(sys.argv[first], sys.argv[first:])  # noqa: S606  the caller's own command, never a run's


if __name__ == "__main__":
    main()
