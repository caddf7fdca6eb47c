"""The memories beside the database. Guards what they refuse from being forgotten by losing the file it stands in.

Each remembers a no that a restored row must not undo: what was signed last, the newest policy, ended sessions, ended
grants and holds. `init` begins them; from then on a missing one was lost, and never means that nothing was in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from weighthouse.access import api as access
from weighthouse.app.home import Home
from weighthouse.core import durable
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, read

SINCE_INIT = ("policy", "identity")
"""What every kept folder has. The log's own memory is judged with the log (`audit.memory_missing`)."""
REFUSALS = "refusals"
"""What folders made before it was begun by `init` have only from the first no on."""


MARKED = b"weighthouse-learnt/2\n"
"""In `learnt` once each memory holds the place in the log up to which it is whole; before, a number stood there."""


def check(home: Home) -> None:
    """Raise `app.memory_missing` if a kept folder has lost a memory, or what was in it."""
    for name in SINCE_INIT:
        if not (home.memory / name).is_file():
            raise missing(home, name)
    learnt = home.memory / "learnt"
    if learnt.is_file() and learnt.read_bytes() == MARKED:
        for name in ("identity", REFUSALS):
            if not (home.memory / name).is_file() or not (home.memory / name).stat().st_size:
                raise missing(home, name, "is missing or empty")


def marked(learnt: Path) -> None:
    """Remember that no memory is empty from now on."""
    if not learnt.is_file() or learnt.read_bytes() != MARKED:
        with durable.told(learnt):
            durable.replace(learnt, MARKED, learnt.with_suffix(".new"))


def never_begun(settings: Settings, home: Home) -> bool:
    """Whether a folder with keys has neither a memory nor a database, so that nothing can have been lost with it."""
    kept = home.memory.is_dir() and any(home.memory.iterdir())
    return not kept and not settings.text("database.url") and not home.database_file.exists()


def readable(system: System, home: Home) -> None:
    """Read the memory of refusals: one that nobody can read is refused now, not at the first question."""
    if (home.memory / REFUSALS).is_file():
        access.learnt(system)


def settle(system: System, home: Home) -> None:
    """Begin the memory of refusals where nothing was ever refused; raise `app.memory_missing` where something was."""
    path = home.memory / REFUSALS
    if path.is_file():
        try:
            readable(system, home)
        except WeighthouseError:
            system.database.close()
            raise
        return
    with read(system) as unit:
        ever = access.ever_refused(unit)
    if ever:
        system.database.close()
        raise missing(home, REFUSALS)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    folder = os.open(home.memory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def missing(home: Home, name: str, how: str = "is missing") -> Unavailable:
    """The refusal of a folder whose memory `name` is gone."""
    return Unavailable(
        "app.memory_missing",
        f"{home.memory / name} {how}, so nobody knows what was refused, ended or published last: a lost memory "
        "is not an empty one.",
        "Restore the file from the newest backup of the state folder; nothing was served.",
    )
