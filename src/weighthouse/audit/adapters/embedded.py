"""The signer's memory in one file beside the keys. Guards against a database that went back or was rewritten.

The file has two slots that are written in turn, each with a digest, so that a torn write leaves the other one
whole. It is never made smaller by `remember`, and processes that share it take turns by a lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from weighthouse.audit.model import Remembered
from weighthouse.core import durable
from weighthouse.core.errors import Unavailable

_SLOT = 512
_SYNC_EVERY_S = 1.0


class FileSignerMemory:
    """Remembers the last signed size and root in `path`, which must not lie where the database's writers can write.

    The file is flushed to disk once a second and not for each checkpoint: after a power cut the memory may be a
    second older than the log, which the next checkpoint sees as growth and checks as such.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: int | None = None
        self._synced = 0.0
        self._read: tuple[str, bytes, list[tuple[int, Remembered]]] = ("", b"", [])

    @contextmanager
    def _open(self) -> Iterator[int]:
        with self._lock:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                # A new file's name is lost with the power until its folder is synced, and a log without its memory
                # is refused.
                folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield self._file
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def recall(self, origin: str) -> Remembered | None:
        """Return what was last signed; None if the file was never written. Raises `audit.memory_damaged`."""
        with self._open() as file:
            found = self._slots(file, origin)
        return max(found, key=lambda item: item[1].size)[1] if found else None

    def remember(self, origin: str, signed: Remembered) -> None:
        """Keep `signed` unless something as large is kept already (another process was faster)."""
        with self._open() as file:
            found = self._slots(file, origin)
            last = max(found, key=lambda item: item[1].size, default=None)
            if last is not None and last[1].size >= signed.size:
                return
            slot = 1 - last[0] if last else 0
            line = self._write(file, slot, origin, signed)
            data = bytearray(
                self._read[1].ljust((slot + 1) * _SLOT, b"\0") if found else b"".ljust(slot * _SLOT, b"\0")
            )
            data[slot * _SLOT : (slot + 1) * _SLOT] = line
            self._read = (origin, bytes(data), [*(one for one in found if one[0] != slot), (slot, signed)])
            now = time.monotonic()
            if now - self._synced >= _SYNC_EVERY_S:
                os.fdatasync(file)
                self._synced = now

    def replace(self, origin: str, signed: Remembered) -> None:
        """Keep `signed` and nothing else."""
        with self._open() as file:
            os.ftruncate(file, 0)
            self._write(file, 0, origin, signed)
            os.fsync(file)

    def _write(self, file: int, slot: int, origin: str, signed: Remembered) -> bytes:
        text = f"weighthouse-signer-memory/1 {_name(origin)} {signed.size} {signed.root.hex()} "
        line = (text + hashlib.sha256(text.encode()).hexdigest() + "\n").encode()
        whole = line.ljust(_SLOT - 1) + b"\n"
        with durable.told(self._path):
            durable.write(file, whole, slot * _SLOT)
        return whole

    def _slots(self, file: int, origin: str) -> list[tuple[int, Remembered]]:
        data = os.pread(file, 2 * _SLOT + 1, 0)
        if not data:
            return []
        if self._read[:2] == (origin, data):
            return self._read[2]
        parsed = [(slot, _parse(data[slot * _SLOT : (slot + 1) * _SLOT], origin)) for slot in (0, 1)]
        found = [(slot, value) for slot, value in parsed if value is not None]
        if not found or len(data) > 2 * _SLOT:
            raise Unavailable(
                "audit.memory_damaged",
                f"The signer's memory {self._path} holds nothing that this log's signer wrote.",
                "Restore the file from the state folder's backup; if there is none, treat it as a lost memory and "
                "hold the fork ceremony `weighthouse audit accept-fork` after checking the log against a witness.",
            )
        self._read = (origin, data, found)
        return found


@lru_cache(maxsize=8)
def _name(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()[:32]


def _parse(slot: bytes, origin: str) -> Remembered | None:
    parts = slot.decode("ascii", "replace").split()
    if len(parts) != 5 or parts[1] != _name(origin):
        return None
    text = " ".join(parts[:4]) + " "
    if hashlib.sha256(text.encode()).hexdigest() != parts[4]:
        return None
    return Remembered(int(parts[2]), bytes.fromhex(parts[3]))
