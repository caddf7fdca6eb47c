"""What a sandbox is given, each thing opened once and handed on by descriptor. Guards against a path looked at twice.

Who checks a path and then mounts it mounts whatever lies there by then. Here what was opened is what is mounted: a
runtime gets descriptors, and a mount that turns out to be something else is a start to be tried again, never a run.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from weighthouse.core import folders

_MARK = "held:"


class Held:
    """Descriptors for one start. In a command they stand as marks, so that its digest does not depend on numbers."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._descriptors: list[int] = []

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(self._descriptors)

    def path(self, path: Path) -> str:
        """Hold what lies at one of the server's own paths; return its mark."""
        descriptor = folders.hold(path.resolve())
        self._stack.callback(os.close, descriptor)
        return self.descriptor(descriptor)

    def descriptor(self, descriptor: int) -> str:
        """Hand on a descriptor that somebody else holds and closes; return its mark."""
        self._descriptors.append(descriptor)
        return f"{_MARK}{len(self._descriptors) - 1}"

    def of(self, mark: str) -> int:
        return self._descriptors[int(mark.removeprefix(_MARK))]

    def is_folder(self, mark: str) -> bool:
        return stat.S_ISDIR(os.fstat(self.of(mark)).st_mode)

    def spelled(self, arguments: Sequence[str]) -> list[str]:
        """Return a command with the numbers in place of the marks."""
        return [str(self.of(each)) if each.startswith(_MARK) else each for each in arguments]
