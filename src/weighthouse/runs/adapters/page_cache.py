"""Empties what the kernel keeps of files that several runs may read. Guards environments from notes left for later.

A run that reads a page of a shared file leaves it in memory, and one that looks up a name leaves that there; a later
run finds out by time, or by what it costs itself, which ones those were. So before the turn passes to another
environment the kernel forgets them: all of them where the server may say so (root), else the pages of every file that
runs are shown, one by one. What other programs have mapped meanwhile stays. Sources: Linux kernel
Documentation/admin-guide/sysctl/vm.rst, drop_caches; posix_fadvise(2).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

WHOLE = Path("/proc/sys/vm/drop_caches")
ALL = b"3\n"  # pages, and names with what the file system keeps of them: looked-up names that do not exist as well
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


def may_whole() -> bool:
    """Return whether this server may have the kernel forget all of it."""
    try:
        os.close(os.open(WHOLE, os.O_WRONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def whole() -> bool:
    """Empty the machine's page cache; return whether this server may. Takes up to half a minute on a busy machine."""
    try:
        descriptor = os.open(WHOLE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.write(descriptor, ALL) == len(ALL)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def walked(trees: Iterable[Path]) -> None:
    """Take the pages of every file below these trees out of memory; files that nobody of our user can open have none.

    Raises OSError for one that cannot be dealt with.
    """
    for file in _files([Path(os.path.realpath(tree)) for tree in trees]):
        try:
            descriptor = os.open(file, _READ)
        except (PermissionError, FileNotFoundError):
            continue  # a run has this user's rights at most; and what is gone cannot be shown
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _files(trees: list[Path]) -> Iterator[str]:
    """Every regular file at or below the trees, each tree once; links lead nowhere that is not a tree of its own."""
    left = [str(tree) for tree in trees if not any(tree != one and tree.is_relative_to(one) for one in trees)]
    left = list(dict.fromkeys(left))
    while left:
        place = left.pop()
        try:
            entries = os.scandir(place)
        except NotADirectoryError:
            yield place
            continue
        except (PermissionError, FileNotFoundError):
            continue
        with entries, contextlib.suppress(FileNotFoundError):
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path
