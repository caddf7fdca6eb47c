"""What a running server's settings are, and how its log is, told by it. Guards operators from another one's word.

The server writes what it has resolved, with every source and no secret, into its state folder, beside who it is; it
counts only while that very process lives. How its log is counts for a minute.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from weighthouse.access import api as access
from weighthouse.app.home import Home
from weighthouse.audit import api as audit
from weighthouse.core.clock import SECOND
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.jobs import Loop, Timer
from weighthouse.core.settings import Explained, Settings
from weighthouse.core.work import System, read

NAME = "running.json"
LOG = "log-condition.json"
EVERY_S, OLD_S = 5, 60


class Running(msgspec.Struct, frozen=True):
    """A server: its process, when the kernel started that, and its settings."""

    process: int
    started: str
    settings: list[Explained]


def tell(home: Home, settings: Settings) -> None:
    """Write down the settings that this process serves with; the caller holds the folder's lock."""
    told = Running(os.getpid(), _started(os.getpid()), settings.explain())
    _write(home.root, NAME, msgspec.json.encode(told))


def _write(folder: Path, name: str, data: bytes) -> None:
    fresh = folder / f".{name}"
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(folder / name)


class LogTold(msgspec.Struct, frozen=True):
    """How the log was at `looked`, by the clock of the machine since its start, which nobody sets."""

    process: int
    started: str
    looked: float
    size: int
    rounds: int
    place: int
    problems: list[str]


def telling(home: Home, system: System) -> Loop:
    """Return the part of a server that says again and again how its log is."""
    return Loop(system, [Timer("log-condition", EVERY_S * SECOND, lambda found: _tell_log(home, found))])


def _tell_log(home: Home, system: System) -> None:
    with read(system) as unit:
        found = audit.condition(unit)
        try:
            doubts = access.log_doubts(unit)
        except WeighthouseError as error:  # a server that decides nothing must still say why
            doubts = [error.message]
    problems = [*found.problems, *doubts]  # not what two people have looked at and settled
    me = os.getpid()
    told = LogTold(
        me,
        _started(me),
        time.monotonic(),
        found.size,
        found.scan.rounds,
        found.scan.place,
        list(dict.fromkeys(problems)),
    )
    _write(home.root, LOG, msgspec.json.encode(told))


def log_of(home: Home, server: Running) -> LogTold | None:
    """Return what that server last said of its log; None if it has said nothing for a minute."""
    try:
        told = msgspec.json.decode((home.root / LOG).read_bytes(), type=LogTold)
    except (OSError, msgspec.DecodeError):
        return None
    same = (told.process, told.started) == (server.process, server.started)
    return told if same and time.monotonic() - told.looked < OLD_S else None


def forget(home: Home) -> None:
    """Nothing is served any more."""
    (home.root / NAME).unlink(missing_ok=True)
    (home.root / LOG).unlink(missing_ok=True)


def running(home: Home) -> Running | None:
    """Return what the server of this folder has told, None if none runs."""
    try:
        told = msgspec.json.decode((home.root / NAME).read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None
    return told if told.started and told.started == _started(told.process) else None


def _started(process: int) -> str:
    """When the kernel started a process (proc(5), stat, field 22): numbers of processes are used again."""
    try:
        return Path(f"/proc/{process}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
