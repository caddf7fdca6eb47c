"""Folders that hostile code may write, handled by descriptor alone. Guards every other file of this machine.

What is looked up by name twice is two things where somebody swaps it in between. Here each part of a path is opened
relative to its parent, never through a link, and what was opened is what is used, read, mounted or removed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_ENTRIES = 1_000_000
_BATCH = 4096


def hold(path: str | Path, parent: int | None = None) -> int:
    """Return a descriptor that only names what lies at `path`, a link itself if it is one; the caller closes it."""
    return os.open(path, HOLD, dir_fd=parent)


def hold_folder(path: str | Path, parent: int | None = None) -> int:
    """Return a descriptor that names the folder at `path`; NotADirectoryError for links and all else."""
    return os.open(path, HOLD | os.O_DIRECTORY, dir_fd=parent)


@contextlib.contextmanager
def walk(root: int | Path, parts: Sequence[str], *, make: int | None = None) -> Iterator[int]:
    """Yield a descriptor of the folder `parts` below `root`; with `make`, missing ones are made with that mode.

    Raises OSError: FileNotFoundError for what is missing, others for a link or a file where a folder belongs.
    """
    held = os.dup(root) if isinstance(root, int) else os.open(root, READ)
    try:
        for part in parts:
            made = make is not None and _made(part, held, make)
            deeper = os.open(part, READ, dir_fd=held)
            os.close(held)
            if made and make is not None:
                os.fchmod(deeper, make)  # whatever the umask is
            held = deeper
        yield held
    finally:
        os.close(held)


def _made(name: str, parent: int, mode: int) -> bool:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=parent)
        os.fsync(parent)
        return True
    return False


def names(folder: int, most: int) -> list[str]:
    """Return at most `most` names in a folder, whoever fills it meanwhile."""
    with os.scandir(folder) as found:
        return [entry.name for entry in itertools.islice(found, most)]


def remove(name: str, parent: int, most: int = MOST_ENTRIES) -> int:
    """Remove a file or a folder with all that is in it; return how many files went. Missing is zero.

    Nothing recurses: a folder inside a folder is moved up one level until none is nested, so that neither depth nor
    number can overflow anything. Raises OSError when it cannot go, or has not gone after `most` entries.
    """
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent)
            return 1
        top = _opened(name, parent)
    except FileNotFoundError:
        return 0
    try:
        gone = _empty(top, most)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)
    return gone


def _empty(top: int, most: int) -> int:
    """Remove all that is in `top`, whose nested folders are brought up to it one after the other."""
    gone = seen = moved = 0
    while found := names(top, _BATCH):
        for name in found:
            if not _is_folder(name, top):
                os.unlink(name, dir_fd=top)
                gone, seen = gone + 1, seen + 1
                continue
            inner = _opened(name, top)
            try:
                while inside := names(inner, _BATCH):
                    for one in inside:
                        if _is_folder(one, inner):
                            _opened_and_closed(one, inner)  # a folder that moves must be writable itself
                            moved += 1
                            os.rename(one, f".{moved}.{os.getpid()}", src_dir_fd=inner, dst_dir_fd=top)
                        else:
                            os.unlink(one, dir_fd=inner)
                            gone += 1
                        seen += 1
                        if seen > most:
                            raise OSError(f"more than {most} entries")
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)
            seen += 1
        if seen > most:
            raise OSError(f"more than {most} entries")
    return gone


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _opened(name: str, parent: int) -> int:
    """Open a folder that may forbid it to its owner: the mode is changed through a descriptor."""
    held = hold_folder(name, parent)
    try:
        if os.fstat(held).st_mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{held}", 0o700)  # noqa: PTH101  a descriptor's own name
        return os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(held)


def _opened_and_closed(name: str, parent: int) -> None:
    os.close(_opened(name, parent))
