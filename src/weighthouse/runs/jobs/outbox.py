"""The one folder that a run may write: how much lies in it. Guards the machine's disk from a run that fills it.

Nothing here follows a link, opens what could block, or trusts a size twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from weighthouse.runs.model import MIB

MOST_FILES = 20_000
DEEPEST = 16
LEAST_FREE = 256 * MIB


def too_much(folder: Path, most_bytes: int) -> str:
    """Return why a run must end for what it wrote, empty when it need not. Blocks are counted, not lengths."""
    if shutil.disk_usage(folder).free < LEAST_FREE:
        return f"the disk of this server has less than {LEAST_FREE // MIB} MiB left"
    total = 0
    for files, (parent, name) in enumerate(_walk(folder), 1):
        with contextlib.suppress(FileNotFoundError):
            total += os.stat(name, dir_fd=parent, follow_symlinks=False).st_blocks * 512
        if total > most_bytes:
            return f"the run has written more than {most_bytes // MIB} MiB (runs.out_mib)"
        if files > MOST_FILES:
            return f"the run has made more than {MOST_FILES} files"
    return ""


def _walk(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield (descriptor of the folder, name) of everything below, no deeper than is sane; nothing once it is gone."""
    with contextlib.suppress(OSError):
        for path, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
            if path.count(os.sep) - str(folder).count(os.sep) >= DEEPEST:
                folders.clear()
            for name in (*folders, *files):
                yield descriptor, name
