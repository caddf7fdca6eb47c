"""A disk that forgets: what SQLite and the signer's memory write is recorded, and the power can be cut after any step.

A SQLite VFS (https://www.sqlite.org/vfs.html) stands before the real one and notes each write and each sync; `Disk.at`
rebuilds the files as they are after a cut: what was synced is there, what was not is gone or half there, by sectors.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

SECTOR = 512
_P, _I, _L, _S = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p
# Names are addresses: the real VFS keeps the one it is given, so a copy that Python frees would not do.
_OPEN = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_DELETE = ctypes.CFUNCTYPE(_I, _P, _P, _I)
_WRITE = ctypes.CFUNCTYPE(_I, _P, _P, _I, _L)
_TRUNCATE = ctypes.CFUNCTYPE(_I, _P, _L)
_SYNC = ctypes.CFUNCTYPE(_I, _P, _I)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", _I), ("file_bytes", _I), ("longest_path", _I), ("next", _P), ("name", _S), ("data", _P),
        ("open", _P), ("delete", _P), ("rest", _P * 14),
    )  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = (
        ("version", _I), ("close", _P), ("read", _P), ("write", _P), ("truncate", _P), ("sync", _P), ("rest", _P * 13),
    )  # fmt: skip


class Step(NamedTuple):
    """One thing that happened: a write, a truncation, a sync, or an acknowledgement (`what`, path, place, bytes)."""

    what: str
    path: str = ""
    place: int = 0
    data: bytes = b""


class Disk:
    """Records every step below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[Step] = []
        self._files: dict[int, str] = {}
        self._methods: dict[int, tuple[_Methods, list[Any]]] = {}
        self._library = ctypes.CDLL(_sqlite3.__file__)  # the very library that Python's own module calls
        self._library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)

    def acknowledge(self) -> None:
        self.steps.append(Step("acknowledged"))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Stand before the real VFS for every database that is opened meanwhile."""
        real = self._library.sqlite3_vfs_find(None)
        self._real_open = _OPEN(real.contents.open)
        mine = _Vfs.from_buffer_copy(real.contents)
        real_delete = _DELETE(real.contents.delete)

        def on_delete(vfs: int, name: int, sync: int) -> int:
            self.steps.append(Step("delete", os.fsdecode(ctypes.string_at(name))))
            return int(real_delete(vfs, name, sync))

        hooks = _OPEN(self._open), _DELETE(on_delete)
        mine.name, mine.next = b"forgetful", None
        mine.open, mine.delete = (ctypes.cast(hook, _P).value for hook in hooks)
        self._kept = (hooks, mine)  # the library holds addresses of all
        assert self._library.sqlite3_vfs_register(ctypes.byref(mine), 1) == 0
        try:
            yield
        finally:
            self._library.sqlite3_vfs_unregister(ctypes.byref(mine))
            self._library.sqlite3_vfs_register(real, 1)

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        code = int(self._real_open(vfs, name, file, flags, out))
        if code == 0 and name is not None:
            self._files[file] = os.fsdecode(ctypes.string_at(name))
            table = ctypes.cast(file, ctypes.POINTER(_P))
            table[0] = ctypes.addressof(self._before(int(table[0])))
        return code

    def _before(self, address: int) -> _Methods:
        """Return a table of methods that records, and then calls the real ones."""
        if address not in self._methods:
            real = _Methods.from_address(address)
            write, truncate, sync = _WRITE(real.write), _TRUNCATE(real.truncate), _SYNC(real.sync)

            def on_write(file: int, data: int, size: int, place: int) -> int:
                self.steps.append(Step("write", self._files[file], place, ctypes.string_at(data, size)))
                return int(write(file, data, size, place))

            def on_truncate(file: int, size: int) -> int:
                self.steps.append(Step("truncate", self._files[file], size))
                return int(truncate(file, size))

            def on_sync(file: int, flags: int) -> int:
                code = int(sync(file, flags))
                self.steps.append(Step("sync", self._files[file]))
                return code

            hooks = [_WRITE(on_write), _TRUNCATE(on_truncate), _SYNC(on_sync)]
            mine = _Methods.from_buffer_copy(real)
            mine.write, mine.truncate, mine.sync = (ctypes.cast(hook, _P).value for hook in hooks)
            self._methods[address] = (mine, [real, write, truncate, sync, *hooks])
        return self._methods[address][0]

    def at(self, cut: int, to: Path, chance: random.Random | None) -> int:
        """Write into `to` what is left if the power goes after `cut` steps; return how many were acknowledged.

        What was not synced is gone, or with `chance` each of its sectors is there or not.
        """
        solid: dict[str, bytearray] = {}
        loose: dict[str, list[Step]] = {}
        for step in self.steps[:cut]:
            if step.what == "sync":
                content = solid.setdefault(step.path, bytearray())
                for one in loose.pop(step.path, []):
                    _apply(content, one)
            elif step.what == "delete":
                solid.pop(step.path, None)
                loose.pop(step.path, None)
            elif step.path:
                loose.setdefault(step.path, []).append(step)
        for path, steps in loose.items():
            if chance is not None and path in solid:
                for step in steps:
                    for part in _sectors(step):
                        if chance.random() < 0.5:
                            _apply(solid[path], part)
        for path, content in solid.items():
            (to / Path(path).relative_to(self.folder)).write_bytes(content)
        return sum(step.what == "acknowledged" for step in self.steps[:cut])


def _sectors(step: Step) -> Iterator[Step]:
    if step.what != "write":
        yield step
    at = 0
    while at < len(step.data):
        size = SECTOR - (step.place + at) % SECTOR
        yield Step("write", step.path, step.place + at, step.data[at : at + size])
        at += size


def _apply(content: bytearray, step: Step) -> None:
    if step.what == "truncate":
        del content[step.place :]
    else:
        content.extend(bytes(max(0, step.place - len(content))))
        content[step.place : step.place + len(step.data)] = step.data


class RecordingOs:
    """Stands for the module `os` in the signer's memory, whose file is written past SQLite.

    The name of a new file is durable only when its folder was synced after it was made.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._open: dict[int, str] = {}
        self._unnamed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and not path.exists():
            self._unnamed.add(str(path))
        descriptor = os.open(path, flags, mode)
        self._open[descriptor] = str(path)
        return descriptor

    def pwrite(self, file: int, data: bytes, place: int) -> int:
        self._disk.steps.append(Step("write", self._open[file], place, data))
        return os.pwrite(file, data, place)

    def ftruncate(self, file: int, size: int) -> None:
        self._disk.steps.append(Step("truncate", self._open[file], size))
        os.ftruncate(file, size)

    def fdatasync(self, file: int) -> None:
        self.fsync(file)

    def fsync(self, file: int) -> None:
        os.fsync(file)
        path = self._open[file]
        if Path(path).is_dir():
            self._unnamed = {name for name in self._unnamed if str(Path(name).parent) != path}
        elif path not in self._unnamed:
            self._disk.steps.append(Step("sync", path))
