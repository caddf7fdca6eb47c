"""The windows of lenders in memory, by name. Guards a machine's memory from what a server that was killed left there.

A window has a name only until its sandbox has it; a server that is killed before leaves the name, and the memory, for
ever. Whoever starts next in the same state folder removes it. The name tells that folder, so that no other server's
is touched; no link is followed, nothing is removed that is not ours, and nothing that a process still has.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAME = "window"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Inode = tuple[int, int]


def mark_of(state: Path) -> str:
    """What the names of a state folder's windows begin with: the folder itself, however its path is called."""
    found = state.stat()
    return f"weighthouse-{hashlib.sha256(f'{found.st_dev} {found.st_ino}'.encode()).hexdigest()[:16]}-"


def make(memory: Path, mark: str) -> Path:
    """Make a folder for one window, that nobody else may enter."""
    return Path(tempfile.mkdtemp(prefix=mark, dir=memory))


def remove_left(memory: Path, mark: str) -> int:
    """Remove the windows under this mark that no process has open; return how many. Only while no server of the
    state folder runs beside: it would lose what it is about to show."""
    named = re.compile(re.escape(mark) + "[a-z0-9_]{8}")
    try:
        around = os.open(memory, _FOLDER)
    except OSError:
        return 0
    try:
        return sum(_remove(around, name) for name in sorted(_names(around)) if named.fullmatch(name))
    finally:
        os.close(around)


def _remove(around: int, name: str) -> bool:
    """Remove one folder with its window; what cannot be removed, or is not as we make it, stays as it is."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as open_:
        folder = os.open(name, _FOLDER, dir_fd=around)
        open_.callback(os.close, folder)
        inside = _names(folder)
        if not _ours(os.fstat(folder)) or inside - {NAME}:
            return False
        if inside:
            window = os.stat(NAME, dir_fd=folder, follow_symlinks=False)
            if not _ours(window) or not stat.S_ISREG(window.st_mode) or (window.st_dev, window.st_ino) in _held():
                return False
            os.unlink(NAME, dir_fd=folder)
        os.rmdir(name, dir_fd=around)
        return True
    return False


def _names(folder: int) -> set[str]:
    with os.scandir(folder) as found:
        return {one.name for one in found}


def _ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid()


def _held() -> frozenset[_Inode]:
    """Every file that a process has open or mapped, as far as we may look: others cannot enter our folder anyway."""
    found = set[_Inode]()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            for looked in (_mapped, _open):
                with contextlib.suppress(OSError, ValueError):  # it has ended meanwhile, or is not ours to look at
                    found.update(looked(process))
    return frozenset(found)


def _mapped(process: Path) -> Iterator[_Inode]:
    for line in (process / "maps").read_text("utf-8", "surrogateescape").splitlines():
        device, inode = line.split()[3:5]
        major, minor = (int(part, 16) for part in device.split(":"))
        yield os.makedev(major, minor), int(inode)


def _open(process: Path) -> Iterator[_Inode]:
    for each in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            one = each.stat()
            yield one.st_dev, one.st_ino
