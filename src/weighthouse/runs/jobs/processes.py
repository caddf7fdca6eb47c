"""Marks of processes that survive a restart of the server. Guards strangers: a reused process id is never killed."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def mark(pid: int) -> str:
    """Return `boot/pid/start`, which names one process of this machine for ever; empty if it is gone."""
    with contextlib.suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Field 22 is the start time; the name in field 2 may hold spaces and brackets, so count from its end.
        start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{boot}/{pid}/{start}"
    return ""


def end_marked(text: str) -> bool:
    """Kill each process in a space-separated list of marks if it is still that process; return whether any was."""
    ended = False
    for one in text.split():
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(one.split("/")[1])
            if mark(pid) == one:
                os.kill(pid, signal.SIGKILL)
                ended = True
    return ended
