"""How values read on a page: times in UTC, durations, sizes, and text that people wrote.

Guards the reader from text that lies about itself: characters that reorder or hide what an approver reads (access
case 34) become visible marks, and so do accents piled so high that they cover the lines around them. Everything here
is pure; what returns markup has escaped it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

from weighthouse.core import visible
from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, Millis

_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
_RELATIVE = ((2 * 365 * DAY, "y"), *_UNITS)

# What each action lets somebody do, as a person would say it after "can". The codes are the policy room's.
_DOES = {
    "audit.read": "read and prove the audit log",
    "catalogue.read": "see what exists here",
    "committee.hold": "hold a release",
    "committee.vote": "vote in the committee",
    "egress.connect": "send bytes to a listed destination",
    "evidence.read": "read the computed evidence",
    "grant.revoke": "end other people's grants",
    "hold.place": "place a hold",
    "person.freeze": "freeze a person",
    "policy.publish": "publish a policy text",
    "redteam.run": "run the attack catalogue",
    "run.stop": "stop training runs",
    "run.submit": "submit training runs",
    "session.end": "end other people's sessions",
    "weights.describe": "see names and shapes of tensors",
    "weights.destroy": "destroy versions",
    "weights.destroy_model": "end a whole model",
    "weights.export": "take weights out of the lab",
    "weights.load": "load weights inside a run",
    "weights.save": "save new weights inside a run",
}

_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


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


def day(at: Millis) -> str:
    """Return the day of a lab's text that this UTC midnight begins, as the text spells it: `2026-11-23`."""
    return stamp(at)[:10]


def exact(at: Millis, now: Millis) -> Markup:
    """Return a time element with the exact UTC time and, after it, the relative text."""
    return Markup('<span class="stamp">{}</span> <span class="quiet">{}</span>').format(stamp(at), moment(at, now))


def clock(at: Millis, now: Millis) -> Markup:
    """Return a time element and, after it, the time of day in UTC, with the day where it is another."""
    when = datetime.fromtimestamp(at / 1000, UTC)
    today = datetime.fromtimestamp(now / 1000, UTC)
    day = "" if when.date() == today.date() else f"{when.day} {when:%b} "
    year = "" if when.year == today.year else f"{when.year} "
    return Markup('{}, <span class="quiet clock">{}{}{:%H:%M} UTC</span>').format(moment(at, now), day, year, when)


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
    """Return `text` with every character that hides, turns or covers what stands beside it shown as `⟦U+202E⟧`."""
    return visible.marked(str(text), lines=True)


def said(text: str) -> Markup:
    """Return text that a person wrote: made plain, escaped, and isolated in its own direction."""
    return Markup('<bdi class="said">{}</bdi>').format(escape(plain(text)))


def named(text: str) -> Markup:
    """Return a name inside a sentence: made plain, escaped, and isolated, so that it turns no neighbour round."""
    return Markup("<bdi>{}</bdi>").format(escape(plain(text)))


def does(action: str) -> str:
    """Return what an action lets somebody do, in words that follow "can"; an action without words keeps its code."""
    return _DOES.get(action, action)


def browser(user_agent: str) -> str:
    """Return which browser and system a User-Agent claims to be; a program's own name otherwise."""
    name = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if name and system:
        return f"{name} on {system}"
    return short(plain(user_agent), 40) or "unnamed program"


def people(names: Sequence[str]) -> str:
    """Return names as a sentence part: `a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def opening(text: str) -> str:
    """Return `text` with a capital letter at its beginning, for a sentence that a room wrote as a clause."""
    return text[:1].upper() + text[1:]


def sentence(code: str) -> str:
    """Return an identifier as words: `role_revoked` and `not-satisfied` become `role revoked`, `not satisfied`."""
    return code.replace("_", " ").replace("-", " ").lower()
