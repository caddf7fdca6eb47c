"""What a run is given to see, each held by the descriptor that was checked. Guards a start from swapped folders.

Whatever is used here was opened here: code in a folder made for this run, data by the machine's own list, the way
out, and the objects that the parent's manifest lists. Nothing is walked, so that no run's files can hold up a start.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from weighthouse.core import folders
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, read
from weighthouse.runs.api import references
from weighthouse.runs.model import Order
from weighthouse.runs.ports import Ground, Mount
from weighthouse.weights import api as weights

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Given:
    """The mounts of one run; `close` lets go of what they hold, once the sandbox has it."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._mounts: list[Mount] = []

    @property
    def mounts(self) -> tuple[Mount, ...]:
        return tuple(self._mounts)

    def add(self, descriptor: int, target: str, *, writable: bool = False) -> None:
        """Give what `descriptor` holds, and keep it open until `close`."""
        self._stack.callback(os.close, descriptor)
        self._mounts.append(Mount(descriptor, target, writable))

    def close(self) -> None:
        self._stack.close()


class Ways(NamedTuple):
    """What a run can connect to: the way out's socket, and its lender."""

    out: Path
    lender: weights.LenderBeside


def give(system: System, order: Order, *, code: Path, ways: Ways, given: Given, pause: Callable[[], None]) -> None:
    """Open what an order names and add it to `given`; `code` is a folder to make.

    `pause` is called during what may take long, and may raise. Raises `runs.ground_moved`, `runs.dataset_nested`,
    what weights raises.
    """
    with read(system) as unit:
        others = references.other_datasets(unit, order.dataset)
    dataset = system.part(Ground).dataset(order.dataset, others)
    if dataset is None:
        raise Unavailable("runs.ground_moved", "This server no longer has what was ordered.", "Submit again.")
    given.add(dataset, "/data")
    given.add(_written(code, order.code), "/code")
    given.add(folders.hold(ways.out), "/egress/socket")
    given.add(folders.hold(ways.lender.socket), "/egress/lender")
    given.add(folders.hold(ways.lender.window), "/egress/window")  # read-only, as everything that is given
    if order.parent is not None:
        inbox = weights.inbox(system, order.parent, pause)
        given.add(inbox, "/in")
        ways.lender.given(inbox)


def _written(folder: Path, code: Mapping[str, str]) -> int:
    """Write the code into a new folder and return a descriptor of it; each file is made through that descriptor."""
    folder.mkdir(mode=0o700)
    held = os.open(folder, folders.READ)
    try:
        for name, text in code.items():
            with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=held), "w", encoding="utf-8", newline="") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)  # whatever the umask is: the sandbox's user id is not ours
        os.fchmod(held, 0o755)
        return held
    except BaseException:
        os.close(held)
        raise
