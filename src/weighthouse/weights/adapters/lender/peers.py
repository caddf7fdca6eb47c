"""Who speaks to a lender. Guards one run's plaintext from every other process of this machine.

The kernel names the process that connected (SO_PEERCRED, unix(7)), which no process can choose; it has to descend
from the process that the run's sandbox was started as. What a run leaves behind is taken on by the first process of
its own namespace, so the chain of parents never leads out of the sandbox and back. Source: proc(5).
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Collection
from pathlib import Path

_PEER = struct.Struct("3i")
DEEPEST = 4096


def peer(way: socket.socket) -> int:
    """The process at the other end."""
    pid, _, _ = _PEER.unpack(way.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(pid)


def descends(pid: int, roots: Collection[int]) -> bool:
    """Whether `pid` is one of `roots` or was started below one."""
    for _ in range(DEEPEST):
        if pid in roots:
            return True
        if pid <= 1:
            return False
        pid = _parent(pid)
    return False


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The name in field 2 may hold spaces and brackets, so count from its end.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
