"""The nouns of the console: its settings and its navigation. Pure; a page names only places that exist."""

from __future__ import annotations

import msgspec

from weighthouse.core.settings import Setting

settings: tuple[Setting, ...] = (
    Setting(
        "web.body_limit",
        "int",
        65_536,
        "Largest request body in bytes; some paths that carry manifests have a larger limit of their own.",
        minimum=1_024,
        maximum=16_777_216,
    ),
    Setting(
        "web.body_seconds",
        "int",
        30,
        "Longest time in seconds that a request body may take to arrive.",
        minimum=1,
        maximum=600,
    ),
    Setting(
        "web.form_targets",
        "text",
        "",
        "Space-separated origins that a form may lead to besides our own: the identity provider's.",
    ),
)


class Place(msgspec.Struct, frozen=True):
    """One entry of the navigation. Any action of `needs` on `lab` shows it; none named shows it to everybody."""

    href: str
    label: str
    icon: str
    needs: tuple[str, ...] = ()


class Region(msgspec.Struct, frozen=True):
    """A named group of places."""

    label: str
    places: tuple[Place, ...]


NAVIGATION: tuple[Region, ...] = (
    Region(
        "Work",
        (
            Place("/", "Home", "home"),
            Place("/request", "Request access", "search"),
            Place("/access", "My access", "key"),
            Place("/runs", "Runs", "run"),
            Place("/weights", "Weights", "weights"),
        ),
    ),
    Region("Decide", (Place("/inbox", "Inbox", "inbox"), Place("/committee", "Committee", "committee"))),
    Region(
        "Watch",
        (
            Place("/alerts", "Alerts", "alert", ("session.end", "audit.read")),
            Place("/audit", "Audit log", "log", ("audit.read",)),
            Place("/evidence", "Attacks & evidence", "shield", ("evidence.read", "redteam.run")),
            Place("/egress", "Egress", "egress"),
        ),
    ),
    Region("Me", (Place("/sessions", "Sessions & devices", "device"),)),
)
