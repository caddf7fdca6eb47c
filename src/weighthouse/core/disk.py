"""A disk that is full, read-only or failing, in words of its own. Guards operators from "an error not foreseen".

Rooms that keep what must not be lost say it themselves (`core.not_kept`, `weights.store_unavailable`). This is for
the doors of the process, HTTP and the command line: whatever else met a disk that takes no more is told here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from weighthouse.core import faults
from weighthouse.core.errors import Unavailable, WeighthouseError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNUSABLE = frozenset({errno.EROFS, errno.EIO})
_SCANT = 1 << 20


def explained(error: BaseException, places: Sequence[Path] = ()) -> WeighthouseError | None:
    """Return the refusal for a disk or a database behind `error`, None if it is about something else.

    `places` are where the caller writes: an error of a descriptor names no file, and then the full ones are named.
    """
    for one in _causes(error):
        if isinstance(one, DBAPIError | PoolTimeout):
            return faults.explained(one)
        if isinstance(one, OSError) and one.errno in _NO_SPACE:
            return Unavailable(
                "core.no_space",
                f"There is no space left on {_where(one, places)}, so nothing was done: {one.strerror or one}.",
                "Free space there, or raise the quota or the limit on a file's size; then try again.",
            )
        if isinstance(one, OSError) and one.errno in _UNUSABLE:
            return Unavailable(
                "core.disk_unusable",
                f"The disk of {_where(one, places)} takes no changes, so nothing was done: {one.strerror or one}.",
                "Mount it writable again, and look at the disk: a system often does this to one that fails.",
            )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and what a group of errors holds."""
    while error is not None:
        yield error
        for one in getattr(error, "exceptions", ()):
            yield from _causes(one)
        error = error.__cause__


def _where(error: OSError, places: Sequence[Path]) -> str:
    if error.filename is not None:
        return f"the volume of {os.fsdecode(error.filename) if not isinstance(error.filename, int) else 'a file'}"
    full = [str(place) for place in places if _is_full(place)]
    return "the volume of " + " and of ".join(full or [str(place) for place in places] or ["what was being written"])


def _is_full(place: Path) -> bool:
    try:
        found = os.statvfs(place)
    except OSError:
        return True
    return found.f_bavail * found.f_frsize < _SCANT or (found.f_files > 0 and found.f_favail == 0)
