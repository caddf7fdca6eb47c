"""What a sandbox is given, each thing opened once and handed on by descriptor. Guards against a path looked at twice.

Who checks a path and then mounts it mounts whatever lies there by then. Here what was opened is what is mounted, at a
point of its own, by the program in `cloning`; the runtime is given that point.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from weighthouse.core import durable, folders
from weighthouse.core.errors import Unavailable
from weighthouse.runs.adapters import cloning

_MARK = "held:"


class Held:
    """Descriptors that only a start needs, closed with it however it ends.

    What is mounted stands in a command as a mark, so that its digest does not depend on numbers.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._descriptors: list[int] = []
        self._read: list[int] = []

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that the command inherits."""
        return (*self._descriptors, *self._read)

    def keep(self, descriptor: int) -> int:
        """Own a descriptor that the command reads by its number; return it."""
        self._stack.callback(os.close, descriptor)
        self._read.append(descriptor)
        return descriptor

    def passed(self, data: bytes) -> int:
        """Return a descriptor that the command reads `data` from."""
        descriptor = self.keep(os.memfd_create("data", os.MFD_CLOEXEC))
        durable.write(descriptor, data, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def path(self, path: Path) -> str:
        """Hold what lies at one of the server's own paths; return its mark."""
        descriptor = folders.hold(path.resolve())
        self._stack.callback(os.close, descriptor)
        return self.descriptor(descriptor)

    def descriptor(self, descriptor: int) -> str:
        """Hand on a descriptor that somebody else holds and closes; return its mark."""
        self._descriptors.append(descriptor)
        return f"{_MARK}{len(self._descriptors) - 1}"

    def points(self, folder: Path) -> list[tuple[int, str]]:
        """Make a point in `folder` for each thing that is held, in the order in which it was.

        Raises `runs.sandbox_failed` for a link, which a runtime would follow at its point.
        """
        made = []
        for number, descriptor in enumerate(self._descriptors):
            point, kind = folder / str(number), os.fstat(descriptor).st_mode
            if stat.S_ISLNK(kind):
                raise Unavailable(
                    "runs.sandbox_failed",
                    "What the sandbox is to be given is a link by now: it was swapped while it was opened.",
                    "Find out who writes to the folders of this server's environments and data; then submit again.",
                )
            make_point(point, stat.S_ISDIR(kind))
            made.append((descriptor, str(point)))
        return made

    def spelled(self, arguments: Sequence[str], points: Sequence[tuple[int, str]]) -> list[str]:
        """Return a command with the points in place of the marks."""
        return [points[int(each.removeprefix(_MARK))][1] if each.startswith(_MARK) else each for each in arguments]


def behind(
    command: Sequence[str], points: Sequence[tuple[int, str]], *, own_user: bool, rights: bool, processes: bool
) -> list[str]:
    """Return `command` behind `cloning`, which mounts each descriptor at its point, for the command alone to see.

    With `own_user` in a user namespace of its own; with `rights` the command keeps the rights over that. With
    `processes` it is the first of a namespace of those, and whatever it starts ends with it.
    """
    order = {
        "own_user": own_user, "rights": rights, "processes": processes, "points": points, "command": command,
    }  # fmt: skip
    return [sys.executable, "-I", "-S", cloning.__file__, msgspec.json.encode(order).decode()]


def make_point(path: Path, folder: bool) -> None:
    """Make what something can be mounted over: an empty folder, or else a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        path.mkdir(exist_ok=True)
    else:
        path.touch()
