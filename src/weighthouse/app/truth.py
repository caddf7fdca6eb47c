"""What a running server's settings are, told by that server. Guards operators from explaining another one's settings.

The server writes what it has resolved, with every source and no secret, into its state folder, beside who it is; it
counts only while that very process lives.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from weighthouse.app.home import Home
from weighthouse.core.settings import Explained, Settings

NAME = "running.json"


class Running(msgspec.Struct, frozen=True):
    """A server: its process, when the kernel started that, and its settings."""

    process: int
    started: str
    settings: list[Explained]


def tell(home: Home, settings: Settings) -> None:
    """Write down the settings that this process serves with; the caller holds the folder's lock."""
    told = Running(os.getpid(), _started(os.getpid()), settings.explain())
    fresh = home.root / f".{NAME}"
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(told))
    fresh.replace(home.root / NAME)


def forget(home: Home) -> None:
    """Nothing is served any more."""
    (home.root / NAME).unlink(missing_ok=True)


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
