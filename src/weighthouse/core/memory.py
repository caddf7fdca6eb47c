"""What this process's memory may become. Guards keys in memory from core dumps and from other processes of its user.

It does not guard them from root, nor from swap: what root or the disk of a host may see, only other hardware decides.
"""

from __future__ import annotations

import ctypes
import resource

from weighthouse.core.leash import NO_CORE

PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """Forbid core dumps, and reading or tracing this process by others of its user (Linux prctl(2), core(5)).

    Programs that it starts are not affected: executing one makes it readable again; runs have limits of their own.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (NO_CORE, NO_CORE))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
