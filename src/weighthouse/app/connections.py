"""Looks at this server's own connections, again and again. Guards the watches over them from two ways of doing it.

A descriptor is looked at by a copy of our own, which stays the same connection whoever closes theirs meanwhile.
"""

from __future__ import annotations

import abc
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

TCP_INFO_BYTES = 136  # of struct tcp_info, as far as anybody here reads it


class Watch(abc.ABC):
    """A thread that looks, and waits as long as the look says, from `start` until `stop`."""

    def __init__(self, name: str, wait_s: float) -> None:
        self._wait_s = wait_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    @abc.abstractmethod
    def _look(self) -> float:
        """Look once; return in how many seconds to look again."""

    def _run(self) -> None:
        while not self._stop.wait(self._wait_s):
            with contextlib.suppress(OSError):  # no descriptor is left for looking: at the next look there may be
                self._wait_s = self._look()


def sockets() -> Iterator[tuple[int, socket.socket]]:
    """Yield every socket of this process: its descriptor, and one of our own, which is the caller's to close."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()).startswith("socket:"):
                yield int(entry.name), socket.socket(fileno=os.dup(int(entry.name)))


def shut(one: socket.socket) -> None:
    """Shut a connection. What nobody takes is not kept by the kernel either, once the server lets go of it."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.shutdown(socket.SHUT_RDWR)
