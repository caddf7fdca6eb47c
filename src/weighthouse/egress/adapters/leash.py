"""Executes a command that the kernel kills when whoever started it dies. Guards against a way that nobody counts.

A control plane that is killed can no longer meter a run, so its proxy must not outlive it. Runs with
`python -I -S`: sets the parent-death signal, forbids core dumps (they would hold what passed through), then execs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = int(sys.argv[1])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:  # the parent died between fork and prctl, and no signal will come
        sys.exit(96)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  the caller's own command, never a run's


main()
