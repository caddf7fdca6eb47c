"""Objects in a folder of this machine. Guards every other file from what a hostile writer leaves in that folder.

A sandbox may write links, devices, pipes and hard links into its part of the folder. Each part of a path is opened
relative to its parent and never through a link; only plain files with one name are objects; creation never replaces,
and leaves nothing half-written: a file gets its name when it is whole.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weighthouse.core import folders
from weighthouse.core.errors import Conflict, Invalid, NotFound
from weighthouse.weights.adapters.flight import Flight
from weighthouse.weights.adapters.opened import Opened, down, missing, strange
from weighthouse.weights.adapters.taking import check, leaves_length, leaves_name, take
from weighthouse.weights.adapters.writing import PART, write_new
from weighthouse.weights.model import Signed
from weighthouse.weights.rules.paths import check_path

log = logging.getLogger("weighthouse.weights")

MOST_NAMES = 1_000_000
MOST_TAKEN = 100_000
Known = tuple[int, ...]


class FolderStore:
    """An ObjectStore under `root` (mode 0700)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lent: dict[str, int] = {}
        self._taken: dict[Known, Signed] = {}
        self._lock = threading.Lock()
        self._flight = Flight()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put_new(self, path: str, data: bytes) -> None:
        parts = check_path(path)
        with self._folder(parts[:-1], make=0o700) as folder:
            try:
                write_new(folder, parts[-1], (data,), 0o600)
            except FileExistsError:
                raise Conflict(
                    "weights.object_exists", f"There is an object at {path} already.", "Objects are never replaced."
                ) from None
            except OSError as error:
                raise down(error) from None

    @contextmanager
    def open(self, path: str) -> Iterator[Opened]:
        parts = check_path(path)
        with self._folder(parts[:-1]) as folder:
            found = Opened(path, parts[-1], folder)
        with contextlib.closing(found):
            yield found

    def take(self, source: str, target: str, signed: Signed, pause: Callable[[], None]) -> None:
        parts = check_path(target)
        with self._flight.to(target, pause), self._folder(parts[:-1], make=0o755) as folder:
            try:
                if not _there(parts[-1], folder):
                    # Never a move: who wrote the file may hold it open or mapped, and go on writing under any name.
                    with self.open(source) as found, contextlib.suppress(FileExistsError):
                        take(found, folder, parts[-1], signed, pause, self._flight)
                        with contextlib.closing(Opened(target, parts[-1], folder)) as kept:
                            self._remember(kept, signed)
                with contextlib.closing(Opened(target, parts[-1], folder)) as kept:
                    if self._taken.get(kept.mark) != signed:
                        check(kept, folder, parts[-1], signed, pause)
                        self._remember(kept, signed)
            except OSError as error:
                raise down(error) from None

    def is_taken(self, target: str, signed: Signed) -> bool:
        with self.open(target) as kept:
            return self._taken.get(kept.mark) == signed

    def room(self) -> int | None:
        with folders.walk(self._root, ()) as root:
            return self._flight.room(root)

    def folder(self, prefix: str) -> int | None:
        with self._folder(check_path(prefix), make=0o700) as found:
            return os.dup(found)

    def only(self, prefix: str, listed: dict[str, int]) -> int | None:
        wanted: dict[str, dict[str, int]] = {}
        for path, length in listed.items():
            inner, name = check_path(path.removeprefix(prefix + "/"))
            wanted.setdefault(inner, {}).update({name: length, leaves_name(name): leaves_length(length)})
        with self._folder(check_path(prefix)) as folder:
            _exactly(prefix, folder, set(wanted))
            for inner, names in wanted.items():
                with folders.walk(folder, (inner,)) as deeper:
                    _exactly(prefix, deeper, set(names))
                    for name, length in names.items():
                        with contextlib.closing(Opened(f"{prefix}/{inner}/{name}", name, deeper)) as found:
                            if found.size != length or not found.ours:
                                raise _extra(prefix)
            return os.dup(folder)

    def lend(self, prefix: str, folder: int | None) -> None:
        check_path(prefix)
        with self._lock:
            held = self._lent.pop(prefix, None)
            if folder is not None:
                self._lent[prefix] = os.dup(folder)
        if held is not None:
            os.close(held)

    def names(self, prefix: str) -> list[str]:
        try:
            with self._folder(check_path(prefix)) as folder:
                return sorted(folders.names(folder, MOST_NAMES))
        except NotFound:
            return []

    def delete(self, prefix: str) -> int:
        parts = check_path(prefix)
        try:
            with self._folder(parts[:-1]) as parent:
                return folders.remove(parts[-1], parent)
        except NotFound:
            return 0
        except OSError as error:
            raise down(error) from None

    def _remember(self, kept: Opened, signed: Signed) -> None:
        """Know for this process what a file was found to hold: by its inode and last change, never by its name."""
        with self._lock:
            while len(self._taken) >= MOST_TAKEN:
                del self._taken[next(iter(self._taken))]
            self._taken[kept.mark] = signed

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: int | None = None) -> Iterator[int]:
        root, rest = self._start(parts)
        try:
            opened = folders.walk(root, rest, make=make)
            folder = opened.__enter__()
        except FileNotFoundError:
            raise missing("/".join(parts)) from None
        except OSError:
            # ELOOP or ENOTDIR: a link or a file where a folder belongs. Somebody put it there on purpose.
            raise strange("/".join(parts)) from None
        finally:
            if isinstance(root, int):
                os.close(root)
        try:
            yield folder
        finally:
            opened.__exit__(None, None, None)

    def _start(self, parts: tuple[str, ...]) -> tuple[int | Path, tuple[str, ...]]:
        """Where a walk begins: at the descriptor that was lent for the beginning of a path, or at our own root."""
        with self._lock:
            for length in range(len(parts), 0, -1):
                lent = self._lent.get("/".join(parts[:length]))
                if lent is not None:
                    return os.dup(lent), parts[length:]
        return self._root, parts


def _there(name: str, folder: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _exactly(prefix: str, folder: int, wanted: set[str]) -> None:
    there = set(folders.names(folder, 2 * len(wanted) + 1))
    for name in {name for name in there if name.startswith(PART)}:
        os.unlink(name, dir_fd=folder)  # of a server that was killed; nobody writes to a committed version any more
        there.discard(name)
    if there != wanted:
        raise _extra(prefix)


def _extra(prefix: str) -> Invalid:
    return Invalid(
        "weights.strange_folder",
        f"What lies at {prefix} is not exactly what its manifest lists.",
        "Nothing but this server writes there: find out what did, and restore the folder from a backup.",
    )
