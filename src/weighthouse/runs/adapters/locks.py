"""Counts the locks that a run holds. Guards the machine's memory from what the kernel counts for nobody.

A lock is memory of the kernel that no control group counts and no limit of a process bounds (RLIMIT_LOCKS is dead):
two processes of 6 MiB took 36 MB a second, until others are killed for it. Honest programs need them (SQLite, LMDB,
caches), and their arguments lie where a filter of calls cannot look. So they are counted in /proc/locks, by the
process that holds each. For ranges of bytes that always finds the run: locks of an open file, which name nobody, are
refused in `rules.syscalls`, and so are processes that share their open files, whose locks outlive their names. One
of flock(2) may outlive its name too, but each has an open file. Source: Linux fs/locks.c; proc_locks(5).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MOST = 4096  # eight for each process that a run may have; 192 bytes each
# The kernel walks its list anew for each page of it that is read: 65,536 lines took 7.6 s on a busy machine. In it
# stand first, by processor, the newest. A run that hides others behind those without a name has files open instead.
LOOKED_AT = 4 * MOST
HIDING = 4
LIST, PROCESSES = Path("/proc/locks"), Path("/proc")
PAGE = 65536
KINDS = (b"POSIX", b"FLOCK")  # `->` stands there for one that waits, of which each thread has one


def too_many(ancestor: int) -> bool:
    """Return whether a process and all that descend from it hold more locks than a run may, or hide them."""
    holders: Counter[int] = Counter()
    seen = 0
    for line in listed():
        words = line.split()
        seen += 1
        if len(words) > 4 and words[1] in KINDS:
            holders[int(words[4])] += 1
    known = {ancestor: True}
    if sum(count for process, count in holders.items() if _descends(process, known)) > MOST:
        return True
    return seen >= LOOKED_AT and _open_files(known) > LOOKED_AT // HIDING


def listed() -> Iterator[bytes]:
    """Return the first lines of the kernel's own list; none where it has none."""
    try:
        descriptor = os.open(LIST, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    rest, left = b"", LOOKED_AT
    try:
        while left > 0 and (data := os.read(descriptor, PAGE)):
            *whole, rest = (rest + data).split(b"\n")
            left -= len(whole)
            yield from whole
    finally:
        os.close(descriptor)


def _open_files(known: dict[int, bool]) -> int:
    """Return how many files are open in the processes of a run, those of several as often."""
    count = 0
    for process in [int(name) for name in os.listdir(PROCESSES) if name.isdigit()]:  # noqa: PTH208  names alone
        if _descends(process, known):
            try:
                count += len(os.listdir(PROCESSES / str(process) / "fd"))  # noqa: PTH208
            except OSError:  # it has ended
                continue
    return count


def _descends(process: int, known: dict[int, bool]) -> bool:
    """Return whether a process descends from one that `known` says does; what was found out stays in `known`."""
    passed: list[int] = []
    while process > 0 and process not in known:
        passed.append(process)
        process = _parent(process)
    found = known.get(process, False)
    known.update(dict.fromkeys(passed, found))
    return found


def _parent(process: int) -> int:
    try:
        return int((PROCESSES / str(process) / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0
