"""Lets the kernel kill a child when the thread that started it dies. Guards against orphans of a killed server.

A control plane that is killed can no longer meter or stop a run, so neither a run nor its proxy may outlive it.
`leashed` prefixes a command with this very file, executed with `python -I -S`: it sets the parent-death signal,
forbids core dumps (they would hold plain weights and what passed through a proxy), then execs the command.
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


def leashed(command: Sequence[str]) -> list[str]:
    """Return `command`, an absolute path and its arguments, so prefixed that it dies with the calling thread."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    parent = int(sys.argv[1])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:  # the parent died between fork and prctl, and no signal will come
        sys.exit(ORPHAN)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  the caller's own command, never a run's


if __name__ == "__main__":
    main()
