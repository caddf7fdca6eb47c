"""What of this machine every run is shown, and what must never lie there. Guards keys, sockets and objects from runs.

Every sandbox mounts the system's folders, the interpreter's and the data sets. Whatever lies below them is read by
submitted code, and a socket there is spoken to as if by another run. So the server refuses to begin, and each run to
start, while a private place lies below a shown one. Compared are not names but what they lead to: every folder above
by its device and inode, and, since a bind mount gives one folder two places, where in its file system each lies.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from weighthouse.core.errors import Unavailable
from weighthouse.core.mounts import Mounts
from weighthouse.runs.adapters.bubblewrap import SYSTEM, SYSTEM_FILES
from weighthouse.runs.model import Environment


def trees(environment: Environment, datasets: Path) -> list[Path]:
    """Return everything of this machine that a run may be shown."""
    named = [*map(Path, SYSTEM), *map(Path, SYSTEM_FILES), *environment.folders, Path(sysconfig.get_path("stdlib"))]
    return [*named, *([datasets] if datasets != Path() else [])]


def check(private: Iterable[Path], rooms: Iterable[Path], shown: Iterable[Path]) -> None:
    """Raise `runs.private_shown` if one of `private` lies below one of `shown`, or a shown tree below one of `rooms`.

    `rooms` are folders of which no part may be shown either. What does not exist yet counts by the folder it is
    going to lie in.
    """
    mounts, trees = Mounts(), list(shown)
    for place in private:
        for tree in trees:
            if below(place, tree, mounts):
                raise _shown(place, tree)
    for tree in trees:
        for room in rooms:
            if below(tree, room, mounts):
                raise _shown(room, tree)


def below(place: Path, tree: Path, mounts: Mounts) -> bool:
    """Return whether `place` is seen by whoever sees `tree`, what is mounted inside of it included."""
    place, tree = _real(place), _real(tree)
    top = _identity(tree)
    if top is None:
        return False
    if any(_identity(each) == top for each in _upwards(place)):
        return True
    within = mounts.within(place)
    roots = [mounts.within(tree), *mounts.mounted_below(tree)]
    return any(within[0] == root[0] and within[1].is_relative_to(root[1]) for root in roots)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _upwards(place: Path) -> Iterator[Path]:
    yield place
    yield from place.parents


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _shown(place: Path, tree: Path) -> Unavailable:
    return Unavailable(
        "runs.private_shown",
        f"{place} is this server's own, but it and {tree}, which every run is shown, lie inside one another: "
        "submitted code could read it, and speak as other runs.",
        "Move it to a folder of its own, such as /var/lib/weighthouse (`--state`, TMPDIR, keys.passphrase_file); "
        "never below Python, its virtual environment, /usr or the data sets.",
    )
