"""The memory of identity in a file of the state folder. Guards freezes and ends from whoever can restore a database.

One line a fact: `v <version> <principal>`, the same with `factor <account>` and the time of the last second factor,
`s <until> <session>`, `l <place> log`, up to which all that the log refuses is in here, or `o <time> <stop>` and
`p 0 <id>` for a stop whose change is to be made and for one that was made; appended and flushed to disk before the
call returns. A line that cannot be read stops the start: an unreadable memory is not an empty one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from weighthouse.core import durable
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Unavailable
from weighthouse.identity.model import Owed
from weighthouse.identity.store.memory import ProcessMemory


class FileMemory(ProcessMemory):
    """Keeps versions of states and ends of sessions in `path` (mode 0600)."""

    def __init__(self, path: Path, *, now: Millis) -> None:
        super().__init__()
        self._path = path
        self._file: int | None = None
        handle, alone = self._open()
        try:
            self._load(now)
            if alone:
                # Only then: a server that still writes into the file would go on writing into the one replaced.
                with contextlib.suppress(Unavailable):  # on a full disk the file stays as it is, and is as true
                    self._compact()
        finally:
            os.close(handle)
        self._file = self._open()[0]

    def _open(self) -> tuple[int, bool]:
        """Open the file at this path and say whether no other process holds it; hold it from then on."""
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            except BlockingIOError:
                alone = False
            fcntl.flock(handle, fcntl.LOCK_SH)
            if os.fstat(handle).st_ino == self._path.stat().st_ino:
                return handle, alone
            os.close(handle)  # replaced while it was being opened

    def _load(self, now: Millis) -> None:
        text = self._path.read_text("utf-8", "replace")
        *lines, rest = text.split("\n")  # what follows the last newline was never acknowledged
        if "\0" in rest:  # no write that was cut short leaves these, but a disk that lost what it had
            lines.append(rest)
        for number, line in enumerate(lines, start=1):
            kind, _, rest = line.partition(" ")
            figure, _, name = rest.partition(" ")
            if kind not in ("v", "s", "l", "o", "p") or not figure.isdigit() or not name or not name.isprintable():
                raise self._broken(number)
            if kind == "v":
                self._versions[name] = max(int(figure), self._versions.get(name, 0))
            elif kind == "l":
                self._learnt = int(figure)
            elif kind == "o":
                due = self._stop(number, name)
                self._owed[due.id] = due
            elif kind == "p":
                self._owed.pop(name, None)
            elif int(figure) > now:
                self._condemned[name] = int(figure)

    def _stop(self, number: int, text: str) -> Owed:
        try:
            return msgspec.json.decode(text, type=Owed)
        except msgspec.MsgspecError:
            raise self._broken(number) from None

    def _broken(self, number: int) -> Unavailable:
        return Unavailable(
            "identity.memory_broken",
            f"Line {number} of {self._path.name} cannot be read, so nobody knows which sessions are over.",
            "Restore the file from the newest backup of the state folder; do not delete it.",
        )

    def _compact(self) -> None:
        lines = [f"l {self._learnt} log\n"]
        lines += [f"v {version} {name}\n" for name, version in self._versions.items()]
        lines += [f"s {until} {name}\n" for name, until in self._condemned.items()]
        lines += [f"o {due.at} {msgspec.json.encode(due).decode()}\n" for due in self._owed.values()]
        with durable.told(self._path):
            durable.replace(self._path, "".join(lines).encode(), self._path.with_suffix(".new"))

    def keep(self, line: str) -> None:
        if self._file is not None:
            with durable.told(self._path), self._alone():
                durable.append(self._file, (line + "\n").encode())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other writers out, by the folder: the file's own lock says only that somebody has it open."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def close(self) -> None:
        """Close the file; nothing is lost, every line is already on disk."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
