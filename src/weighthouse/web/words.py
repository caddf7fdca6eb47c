"""How values read on a page: times in UTC, durations, sizes, and text that people wrote.

Guards the reader from text that lies about itself: control and bidirectional characters, which reorder or hide what
an approver reads (access case 34), become visible marks. Everything here is pure and returns escaped markup.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from markupsafe import Markup, escape

from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, Millis

_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
_RELATIVE = ((2 * 365 * DAY, "y"), *_UNITS)
_KEPT = frozenset("\n\t")


def duration(span: Millis) -> str:
    """Return a span of milliseconds in its two largest units: `1 d 4 h`, `90 s` as `1 min 30 s`."""
    rest = abs(int(span))
    if rest < SECOND:
        return "under 1 s" if rest else "0 s"
    parts: list[str] = []
    for size, name in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}")
        if len(parts) == 2 or (parts and not count):
            break
    return " ".join(parts)


def relative(at: Millis, now: Millis) -> str:
    """Return how far `at` is from `now`: `in 2 h`, `3 min ago`, `now`."""
    span = at - now
    if abs(span) < 5 * SECOND:
        return "now"
    size, name = next(unit for unit in _RELATIVE if abs(span) >= unit[0])
    count = abs(span) // (365 * DAY if name == "y" else size)
    first = duration(span) if name in ("h", "d") and count < 10 else f"{count} {name}"
    return f"in {first}" if span > 0 else f"{first} ago"


def stamp(at: Millis) -> str:
    """Return a time as `2026-11-23 19:12:07 UTC`."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment(at: Millis, now: Millis) -> Markup:
    """Return a time element: the relative text, with the exact UTC time as its title and machine value."""
    exact = stamp(at)
    iso = exact[:10] + "T" + exact[11:19] + "Z"
    return Markup('<time datetime="{}" title="{}" data-at="{}">{}</time>').format(
        iso, exact, int(at), relative(at, now)
    )


def exact(at: Millis, now: Millis) -> Markup:
    """Return a time element with the exact UTC time and, after it, the relative text."""
    return Markup('<span class="stamp">{}</span> <span class="quiet">{}</span>').format(stamp(at), moment(at, now))


def size(count: int) -> str:
    """Return a number of bytes in binary units: `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}".replace(".0 ", " ")
        value /= 1024
    raise AssertionError("unreachable")


def short(text: str, keep: int = 14) -> str:
    """Return the head of a long id or digest; the page shows the whole of it as a title."""
    return text if len(text) <= keep + 1 else text[:keep] + "…"


def plain(text: str) -> str:
    """Return `text` with control, format and unassigned characters shown as `⟦U+202E⟧` instead of acting."""
    return "".join(
        char if char in _KEPT or unicodedata.category(char)[0] != "C" else f"⟦U+{ord(char):04X}⟧"
        for char in str(text)
    )


def said(text: str) -> Markup:
    """Return text that a person wrote: made plain, escaped, and isolated in its own direction."""
    return Markup('<bdi class="said">{}</bdi>').format(escape(plain(text)))


def opening(text: str) -> str:
    """Return `text` with a capital letter at its beginning, for a sentence that a room wrote as a clause."""
    return text[:1].upper() + text[1:]


def sentence(code: str) -> str:
    """Return an identifier as words: `role_revoked` and `not-satisfied` become `role revoked`, `not satisfied`."""
    return code.replace("_", " ").replace("-", " ").lower()
