"""The policy memory of one machine: a small file beside the database, replaced whole and flushed to the disk.

Guards the newest policy version from whoever can write the database. It does not guard against whoever can write
this file: that is the operator of the host, whom file permissions (0600) and the audit log's witness watch.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path

from weighthouse.core import durable
from weighthouse.core.errors import Unavailable
from weighthouse.policy.ports import Remembered


class FilePolicyMemory:
    """Keeps `{"version", "digest"}` in one file; processes on the same machine see each other's writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept = Remembered(0, "")
        self._stamp: tuple[int, int] | None = None

    def newest(self) -> Remembered:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            if self._stamp is not None:
                raise self._broken("has disappeared while the server runs") from None
            return self._kept
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            with self._lock:
                self._kept = self._read()
                self._stamp = stamp
        return self._kept

    def _read(self) -> Remembered:
        try:
            found = json.loads(self._path.read_text("utf-8"))
            version, digest = found["version"], found["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            raise self._broken("cannot be read") from None
        if type(version) is not int or not isinstance(digest, str) or version < 1:
            raise self._broken("does not hold a version and a digest")
        return Remembered(version, digest)

    def _broken(self, what: str) -> Unavailable:
        return Unavailable(
            "policy.memory_broken",
            f"The policy memory {self._path.name} {what}, so no policy can be trusted to be the newest.",
            "Restore the file from a backup of the state folder; it must name the newest version ever published.",
        )

    def remember(self, version: int, digest: str) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # two processes must not overtake each other with an older version
            if version > self.newest().version:
                self._replace({"version": version, "digest": digest})
        finally:
            os.close(folder)

    def _replace(self, content: dict[str, int | str]) -> None:
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.{threading.get_ident()}")
        with durable.told(self._path):
            durable.replace(self._path, json.dumps(content).encode(), fresh)
