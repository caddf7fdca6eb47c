"""Durations, sizes and dates as people write them. Guards grants from ends that somebody misread.

`90s`, `15m`, `8h`, `30d`; `512MiB`, `2TiB`, `4096B`; `"2027-01-31"`. Nothing else, and no unit is ever assumed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, Millis

_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,15})(B|KiB|MiB|GiB|TiB|PiB)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}

LONGEST: Millis = 365 * DAY
LARGEST = 2**53 - 1


def parse_duration(text: str) -> Millis | None:
    """Return milliseconds, or None if `text` is not a duration of at most a year."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    value = int(match.group(1)) * _UNITS[match.group(2)]
    return value if value <= LONGEST else None


def parse_size(text: str) -> int | None:
    """Return bytes, or None if `text` is not a size with its unit."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    value = int(match.group(1)) * _SIZES[match.group(2)]
    return value if value <= LARGEST else None


def parse_date(text: str) -> Millis | None:
    """Return the UTC midnight that begins the day `text` (YYYY-MM-DD), or None. When it is over: `model.day_end`."""
    if _DATE.fullmatch(text) is None:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(day.timestamp()) * SECOND


def duration_text(value: Millis) -> str:
    """Say a duration in the largest unit that divides it."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value // SECOND}s"


def date_text(value: Millis | None) -> str:
    """Say a UTC midnight as its day; None is no end."""
    return "no end" if value is None else datetime.fromtimestamp(value // SECOND, tz=UTC).strftime("%Y-%m-%d")


def size_text(value: int) -> str:
    """Say a size in the largest unit that divides it."""
    for unit in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        if value and value % _SIZES[unit] == 0:
            return f"{value // _SIZES[unit]}{unit}"
    return f"{value}B"
