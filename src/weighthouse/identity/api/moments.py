"""Moments up to which nothing of somebody counts, and what a clock that leapt makes of them. Guards both ways.

A stop is for all that was before it, so its moment is kept, and only ever a later one after it. Said while the clock
stands a month ahead, it would hold its person off for a month after the clock was set right. So what this server
knew of its clock is kept beside it: the last moment that was sure, and from when on it was in doubt. Once the clock
can be believed again and the moment lies ahead, the leap was wrong: the stop covers what was before the leap and what
was stamped in it, and nothing that comes after. Until then, and where this is not known, it covers all up to it.
"""

from __future__ import annotations

from weighthouse.core.clock import DAY, LEAP_TOLERANCE, SECOND, Millis
from weighthouse.core.work import Unit
from weighthouse.identity.api.sealing import memory

KEPT: Millis = 400 * DAY
"""Longer after its moment than anything that was begun before it may last."""
_LEAPS = ("ahead", "behind")


def note(unit: Unit, name: str) -> None:
    """Keep what is known of the clock in which the stop `name` is said now."""
    if unit.clock_trouble not in _LEAPS or unit.sure >= unit.now:
        return
    kept, at, doubted = memory(unit.system), unit.now, unit.keeper.doubted
    kept.condemn(f"leapt {at} {unit.sure} {doubted} {name}", at + KEPT)
    kept.raise_version(_leapt(name), at)


def remember(unit: Unit, name: str) -> None:
    """Remember a stop outside the database, as of now; after one of a leap that was taken back, beside that."""
    said(unit).add(name)
    name = series(unit, name)
    note(unit, name)
    memory(unit.system).raise_version(name, unit.now)


def said(unit: Unit) -> set[str]:
    """The ends that this unit itself has said: none of them is one that overtook it (`under_way`)."""
    found: set[str] = unit.memo.setdefault("ends said", set())
    return found


def stopped(unit: Unit, name: str, at: Millis) -> bool:
    """Whether a stop that is remembered outside the database is for what was stamped `at`."""
    kept = memory(unit.system)
    until = kept.version(name)
    if covers(unit, name, until, at):
        return True
    later = f"{name} after {until}"
    return until > 0 and kept.version(_leapt(name)) == until and stopped(unit, later, at)


def everything(person: str) -> str:
    """How the stop is called whose moment is `PrincipalState.stopped`."""
    return f"everything {person}"


def covers(unit: Unit, name: str, until: Millis, at: Millis) -> bool:
    """Whether a stop with this name and moment is for what was stamped `at`."""
    if at > until:
        return False
    kept = memory(unit.system)
    if kept.version(_leapt(name)) != until or not _was_wrong(unit, name, until):
        return True
    begins, ends = f"leapt {until} ", f" {name}"
    found = next((one for one in kept.all_condemned() if one.startswith(begins) and one.endswith(ends)), "")
    if not found:
        return True
    _, _, sure, doubted, _ = found.split(" ", 4)
    return at <= int(sure) or at >= int(doubted)


def _leapt(name: str) -> str:
    return f"leapt {name}"


def _was_wrong(unit: Unit, name: str, until: Millis) -> bool:
    """Whether the leap in which a stop was said has been taken back; once it is seen to be, that is remembered."""
    kept, known = memory(unit.system), f"taken back {until} {name}"
    if not unit.clock_suspect and until > unit.now + LEAP_TOLERANCE:
        kept.condemn(known, until + KEPT)
    return kept.condemned(known)


def series(unit: Unit, name: str, *, seconds: bool = False) -> str:
    """Under which name what may only ever be later is kept now: a new one, while the latest lies in the future of a
    clock that is believed. It was taken in a leap, and is neither good again when its time comes, nor in the way."""
    latest = memory(unit.system).version(name)
    return f"{name} after {latest}" if ahead(unit, latest * (SECOND if seconds else 1)) else name


def ahead(unit: Unit, at: Millis) -> bool:
    """Whether a moment lies in the future of a clock that is believed."""
    return not unit.clock_suspect and at > unit.now + LEAP_TOLERANCE
