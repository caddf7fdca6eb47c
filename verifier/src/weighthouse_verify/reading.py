"""Reading files that somebody hostile may have laid out. Guards the check from hanging, or from eating all memory.

A file of an export has a largest size by its format. What is larger, or is no plain file at all (a pipe that never
ends, a device, a folder), is refused by name and not read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from weighthouse_verify.tree import HASH, WIDTH

MAX_NOTE = 256 * 1024
MAX_PROOF = 2 * MAX_NOTE
MAX_ENTRY = 65_535
MAX_BUNDLE = WIDTH * (2 + MAX_ENTRY)
MAX_TILE = WIDTH * HASH
MAX_TEXT = 1024 * 1024
MAX_EXPORT = 4 * 1024 * 1024


def read_plain(path: Path, limit: int) -> bytes:
    """Return the bytes of a plain file of at most `limit` bytes; raise OSError with the reason otherwise."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for a writer
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no plain file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(0, f"it is larger than the {limit} bytes it may have")
    return data


def is_plain(path: Path) -> bool:
    """Return whether there is a plain file at `path`; what cannot even be a path is none."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False
