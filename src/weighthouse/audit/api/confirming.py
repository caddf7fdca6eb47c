"""An operator's word that the clock is right. Guards the safe state of a clock that leapt from having no way out.

The word lies in the state folder, where only the operator of this machine writes, and says how far the wall clock
stands from the machine's start: a clock that moves again before it is heeded is not the one that was looked at. A
leap that was wrong and is over is taken back by it, never behind the latest time that nothing was wrong with. The log
says who confirmed what, in the transaction that heeds it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from weighthouse.audit.api.appending import append
from weighthouse.audit.events import ClockConfirmed
from weighthouse.core import durable, visible
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import Clock, Millis
from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.core.work import System, begin

FILE = "clock.confirmed"
LONGEST = 500


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator confirmed: where the wall clock stands after the machine's start, who, and why."""

    offset: Millis
    by: str
    reason: str


def confirm_clock(folder: Path, clock: Clock, by: str, reason: str) -> None:
    """Leave the word for the server of this state folder. Raises `audit.bad_reason`, `audit.no_state_folder`."""
    visible.check(reason, "The reason")
    text = visible.cleaned(reason)
    if not 3 <= len(text) <= LONGEST:
        raise Invalid(
            "audit.bad_reason",
            f"A reason has 3 to {LONGEST} characters; it stays in the log.",
            "Say why it is right.",
        )
    word = msgspec.json.encode(Word(clock.now() - clock.monotonic(), by[:64], text))
    new = folder / f".{FILE}.new"
    try:
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            durable.write(handle, word, 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        new.rename(folder / FILE)
    except OSError as error:
        raise Unavailable(
            "audit.no_state_folder",
            f"The word could not be left in {folder}: {error.strerror}.",
            "Run this as the user of the server, and name its state folder with --state.",
        ) from error


def heed_confirmation(system: System) -> bool:
    """Believe the clock again if an operator confirmed it as it stands now; return whether that was so."""
    path = Path(system.settings.path("state")) / FILE
    word = _read(path)
    if word is None:
        return False
    with begin(system, SYSTEM) as unit:
        heeded = unit.clock_trouble in ("ahead", "late", "behind") and unit.keeper.agrees(word.offset)
        if heeded:
            append(unit, ClockConfirmed(trouble=unit.clock_trouble, by=word.by, reason=word.reason))
            unit.after_commit(lambda: unit.keeper.confirm(word.offset))
        unit.after_commit(lambda: path.unlink(missing_ok=True))
    return heeded


def _read(path: Path) -> Word | None:
    """The word, if this server's own user or root left it and nobody else may write it; None if there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        own = found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return msgspec.json.decode(os.read(handle, 4096), type=Word) if own else None
    except (OSError, msgspec.MsgspecError):
        return None
    finally:
        os.close(handle)
