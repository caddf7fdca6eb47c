"""This server's own debits, in a file beside the database. Guards budgets from whoever can empty the ledger's tables.

One JSON line for each change, read back at a start and written anew when it has grown. A write survives the process
and not a power cut: after one, the rows of the database still count.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from weighthouse.core import durable
from weighthouse.core.errors import Unavailable
from weighthouse.egress.model import Key

SMALLEST = 1 << 20
_Line = tuple[int, int, list[Key]]  # bucket, count, the accounts that it was debited from


class FileBooks:
    """Keeps `[bucket, count, [{"level": ..., "name": ...}]]` a line; a torn last line was never committed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept: dict[Key, dict[int, int]] = {}
        self._shortened = 0
        if path.is_file():
            self._read()

    def add(self, debits: Sequence[tuple[Key, int, int]]) -> None:
        grouped: dict[tuple[int, int], list[Key]] = {}
        for key, bucket, count in debits:
            grouped.setdefault((bucket, count), []).append(key)
        lines = [(bucket, count, keys) for (bucket, count), keys in grouped.items()]
        with self._lock, durable.told(self._path):
            self._write(lines)
            for line in lines:
                self._apply(line)

    def of(self, key: Key) -> Mapping[int, int]:
        with self._lock:
            return dict(self._kept.get(key, {}))

    def forget_before(self, bucket: int) -> None:
        with self._lock, durable.told(self._path):
            kept = {key: {b: n for b, n in found.items() if b >= bucket and n} for key, found in self._kept.items()}
            self._kept = {key: found for key, found in kept.items() if found}
            self._shorten()

    def _read(self) -> None:
        data = self._path.read_bytes()
        try:
            for line in data[: data.rfind(b"\n") + 1].splitlines():
                self._apply(msgspec.json.decode(line, type=_Line))
        except msgspec.MsgspecError:
            raise Unavailable(
                "egress.books_broken",
                f"{self._path} holds a line that no server has written, so nobody knows what was sent and said.",
                "Restore the file from a backup of the state folder; never shorten or edit it.",
            ) from None

    def _apply(self, line: _Line) -> None:
        bucket, count, keys = line
        for key in keys:
            found = self._kept.setdefault(key, {})
            found[bucket] = found.get(bucket, 0) + count

    def _write(self, lines: Sequence[_Line]) -> None:
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            end = durable.whole(handle)
            os.ftruncate(handle, end)  # half a line was never committed
            durable.write(handle, data, end)
        finally:
            os.close(handle)
        if end > SMALLEST + 2 * self._shortened:
            self._shorten(lines)

    def _shorten(self, also: Sequence[_Line] = ()) -> None:
        """Write anew what still counts, and what is being added."""
        every = [(bucket, count, [key]) for key, found in self._kept.items() for bucket, count in found.items()]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in (*every, *also))
        durable.replace(self._path, data, self._path.with_suffix(".new"))
        self._shortened = len(data)
