"""How values read: times in UTC with how far away they are, sizes, durations, and text made safe for a terminal.

Guards the reader from text that others wrote: control characters in a "reason" could otherwise repaint the screen and
make an approver sign something other than what they saw.
"""

from __future__ import annotations

import datetime
import re
import time

import click

from weighthouse.core import visible

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(?:[0-9]+[smhdw])+")


def clean(text: str, *, lines: bool = False) -> str:
    """Return `text` with control and hidden characters made visible as `�`; line breaks become spaces unless kept."""
    shown = visible.marked(text, lines=True, instead="�")
    return shown if lines else shown.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")


def milliseconds(text: str) -> int:
    """Return the milliseconds of a duration such as 90m, 2h, 1d or 1h30m; raise ValueError otherwise."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"'{text}' is not a duration; write 90m, 2h, 1d or 1h30m")
    total = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", text))
    if not 0 < total < 3650 * _UNITS["d"]:
        raise ValueError(f"'{text}' is not a length of time that anything here can last")
    return total


class Duration(click.ParamType[int]):
    """A Click type for durations; the value is in milliseconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail as wrong usage."""
        if isinstance(value, int):
            return value
        try:
            return milliseconds(str(value))
        except ValueError as error:
            self.fail(str(error) + ".", param, ctx)


def span(ms: int) -> str:
    """Return a length of time in its two largest units: `1 d 4 h`."""
    seconds = abs(ms) // 1000
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def utc(ms: int) -> str:
    """Return a time as `2026-11-23 19:40:05Z`."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def when(ms: int | None, now: int | None = None) -> str:
    """Return a time in UTC and how far away it is: `2026-11-23 19:40:05Z (in 2 h)`."""
    if ms is None:
        return "-"
    away = ms - (time.time_ns() // 1_000_000 if now is None else now)
    relative = "now" if abs(away) < 1_000 else f"in {span(away)}" if away > 0 else f"{span(away)} ago"
    return f"{utc(ms)} ({relative})"


def size(count: int | None) -> str:
    """Return a number of bytes in binary units."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
