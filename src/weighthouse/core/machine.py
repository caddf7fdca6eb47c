"""One machine at a time on a SQLite file. Guards it from two servers that cannot see each other's locks.

The machine that serves holds a lease in the file itself, so a copy that was taken live, or a disk that two machines
mount, is noticed when the second one starts. Processes of one machine, containers on it included, share the lease.
"""

from __future__ import annotations

import platform
from pathlib import Path

from weighthouse.core import jobs
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, begin

LEASE = "machine"
TTL: Millis = 30 * SECOND
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity() -> str:
    """Return what tells this running machine from any other: the kernel's boot id, else its name."""
    try:
        return _BOOT.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return platform.node()


def hold(system: System) -> None:
    """Take or renew this machine's lease on a SQLite file; raise `core.other_machine` while another one holds it."""
    if system.database.dialect != "sqlite":
        return
    with begin(system) as unit:
        if jobs.acquire(unit, LEASE, identity(), TTL) is None:
            raise Unavailable(
                "core.other_machine",
                "Another machine has this database file open, or had a moment ago.",
                f"End the server there; if that machine is gone, start again after {TTL // SECOND} s.",
            )


timers = (jobs.Timer(LEASE, TTL // 3, hold),)
