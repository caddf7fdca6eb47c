"""What was acknowledged, in files beside the database. Guards lines from vanishing before the log has an index.

One file a process, held by a lock while the process lives: a slot of 128 bytes a lane, written over in place. A
process that starts reads what dead ones left. What was found lost is kept until an operator accepts it.

Attack: copy the folder of a server that lives, start another over the copy, and that one speaks for the first as for
one that died. So a folder has its name from the place where it lies: a copy gets a name of its own, and what it
holds of others says which lines there must be, and not that their process is gone.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from pathlib import Path

import msgspec

from weighthouse.audit.model import Acknowledged, Gap
from weighthouse.audit.store.acknowledged import ProcessLines
from weighthouse.core import durable
from weighthouse.core.ids import new_id

_SLOT = 128


class FileLines(ProcessLines):
    """Keeps acknowledged numbers in `folder`, a file a process; a write survives the process, not a power cut."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._slots: dict[str, int] = {}
        self._writing = threading.Lock()
        self._file: int | None = None
        self._name = _named(folder)
        lost = folder / "lost"
        if lost.exists():
            self._lost = [msgspec.json.decode(line, type=Gap) for line in _lines(lost.read_bytes())]

    def acknowledge(self, lane: str, number: int, at: int) -> None:
        super().acknowledge(lane, number, at)
        with self._writing:
            if self._file is None:
                path = self._folder / f"{new_id('lan')}-{self._name}"
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX)
            slot = self._slots.setdefault(lane, len(self._slots))
            line = f"{lane} {number} {at} .".encode().ljust(_SLOT - 1) + b"\n"
            with durable.told(self._folder):
                durable.write(self._file, line, slot * _SLOT)

    def left_behind(self) -> list[tuple[str, list[Acknowledged]]]:
        found = []
        for path in sorted(self._folder.glob("lan_*")):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                found.append((path.name, _read(path.read_bytes())))
            except BlockingIOError:  # its process lives and looks after it
                continue
            finally:
                os.close(handle)
        return found

    def is_own(self, name: str) -> bool:
        return name.endswith(f"-{self._name}")

    def forget(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def lose(self, gap: Gap) -> None:
        super().lose(gap)
        path = self._folder / "lost"
        with self._writing, durable.told(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                durable.append(handle, msgspec.json.encode(gap) + b"\n")
            finally:
                os.close(handle)

    def forgive(self) -> None:
        super().forgive()
        for name, _ in self.left_behind():
            self.forget(name)
        (self._folder / "lost").unlink(missing_ok=True)


def _named(folder: Path) -> str:
    """The name of the folder, made once in each place: on this machine, in this file system, under this number."""
    path = folder / "name"
    place = f"{socket.gethostname()} {os.statvfs(folder).f_fsid} {folder.stat().st_ino}"
    said = path.read_text("utf-8").partition(" ") if path.exists() else ("", "", "")
    if said[2] == place:
        return said[0]
    name = new_id("fol")
    with durable.told(path):
        durable.replace(path, f"{name} {place}".encode(), path.with_suffix(".new"))
    return name


def _lines(data: bytes) -> list[bytes]:
    """The whole lines: what follows the last line's end was never acknowledged."""
    return data[: data.rfind(b"\n") + 1].splitlines()


def _read(data: bytes) -> list[Acknowledged]:
    parts = [line.split() for line in data.decode("ascii", "replace").splitlines()]
    return [Acknowledged(one[0], int(one[1]), int(one[2])) for one in parts if len(one) == 4 and one[1].isdigit()]
