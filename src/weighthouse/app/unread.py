"""Ends connections whose answer nobody reads. Guards everybody else's place from those who ask and never take it.

The server in front of our application waits for a reader without end, and each that waits holds one of its places.
The kernel knows what was sent and not taken. So our own connections are looked at every other second: one that has
taken next to nothing for a while is shut, and at once when half of the places are gone. Sources: tcp(7), unix(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
import time
from pathlib import Path

import msgspec

from weighthouse.app.connections import TCP_INFO_BYTES, Watch, shut, sockets

LOOK_S = 2.0
PATIENCE_S = 15.0
LEAST = 1024  # bytes a second that somebody who reads at all takes
_ACKED_AT = 120  # struct tcp_info: tcpi_bytes_acked


class Waiting(msgspec.Struct, frozen=True):
    """A connection with an answer under way: since when it has been slow, and what it had taken then."""

    since: float
    taken: int


class Unread(Watch):
    """Watches the connections of one listener, a port or a Unix socket of ours, until `stop`."""

    def __init__(self, port: int, unix: Path | None, places: int, *, patience_s: float = PATIENCE_S) -> None:
        super().__init__("unread", LOOK_S)
        self._port, self._unix, self._places = port, unix, places
        self._patience_s = patience_s
        self._slow: dict[int, Waiting] = {}

    def _look(self) -> float:
        self.look(time.monotonic())
        return LOOK_S

    def look(self, now: float) -> int:
        """Shut every connection that has been slow for too long at `now`; return how many."""
        with contextlib.ExitStack() as held:
            ours = [held.enter_context(one) for _, one in sockets() if self._is_ours(one)]
            patience = self._patience_s if len(ours) <= self._places // 2 else 0.0
            before, self._slow = self._slow, {}
            late = [one for one in ours if self._is_late(one, now, patience, before)]
            for one in late:
                with contextlib.suppress(OSError):
                    shut(one)
        return len(late)

    def _is_ours(self, one: socket.socket) -> bool:
        """Whether this was accepted by our listener; what is not is given back at once."""
        with contextlib.suppress(OSError):
            name = one.getsockname()
            here = name == str(self._unix) if self._unix else isinstance(name, tuple) and name[1] == self._port
            if here and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return True
        one.close()
        return False

    def _is_late(self, one: socket.socket, now: float, patience: float, before: dict[int, Waiting]) -> bool:
        left = struct.unpack("i", fcntl.ioctl(one.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        if left == 0:
            return False
        name, taken = os.fstat(one.fileno()).st_ino, _taken(one, left)
        first = before.get(name)
        if first is None or taken - first.taken >= LEAST * max(now - first.since, LOOK_S):
            self._slow[name] = Waiting(now, taken)
            return False
        self._slow[name] = first
        return now - first.since >= patience


def _taken(one: socket.socket, left: int) -> int:
    """How much the other side has taken; over a Unix socket only whether it is more than before can be told."""
    if one.family == socket.AF_UNIX:
        return -left
    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    return int(struct.unpack_from("Q", info, _ACKED_AT)[0])
