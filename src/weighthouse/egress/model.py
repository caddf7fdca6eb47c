"""The nouns of egress: destinations, verdicts, ways, levels of the ledger, budgets.

Guards readers from mixing units: sizes are bytes, spans are milliseconds, hosts are in canonical form (lower case,
A-labels, no trailing dot).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weighthouse.core.clock import DAY, HOUR, Millis
from weighthouse.core.settings import Setting

KIB = 1024
MIB = 1024 * KIB
CONTROL_HOST = "control.weighthouse"

Level = Literal[
    "lab", "model", "profile", "run", "destination", "said", "said by profile", "said by person", "said by run"
]
WINDOWS: tuple[Millis, ...] = (HOUR, DAY, 30 * DAY)


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """One place a way may lead to. `addresses` are pinned for the life of the way, so a name cannot move under it."""

    host: str
    port: int
    tls: bool
    addresses: tuple[str, ...]
    address_port: int
    rate: int  # bytes a second in each direction


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Yes or no to one connection, with the code of the reason; `host` and `port` are canonical where they can be."""

    allowed: bool
    host: str
    port: int
    code: str
    reason: str


class Key(msgspec.Struct, frozen=True):
    """One account of the ledger."""

    level: Level
    name: str


class Window(msgspec.Struct, frozen=True):
    """What one sliding window allows and what was debited in it."""

    span: Millis
    cap: int
    spent: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One account as the budgets page shows it. Times to theft are at the daily cap; None means never."""

    level: Level
    name: str
    daily: int
    windows: tuple[Window, ...]
    artefact_bytes: int = 0
    theft_of_whole: Millis | None = None
    theft_of_hundredth: Millis | None = None
    respond: Millis = 0  # the time to find and stop a theft that a model is held against
    holds: bool = True
    remedy: str = ""


class Unheld(msgspec.Struct, frozen=True):
    """A model that would be gone before anybody could stop it, at the caps in force."""

    model: str
    why: str
    remedy: str


class WayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A way as the ledger knows it. Byte counts are whole-life sums."""

    run: str
    profile: str
    model: str
    opened: Millis
    person: str = ""
    closed: Millis | None = None
    spent_at: Millis | None = None
    refused: int = 0
    connected: int = 0
    muted_at: Millis | None = None
    leads: str = ""
    """Destinations that were given an address when the way was opened: `host:port`, with blanks between."""


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """What was lent to one run for one destination, in whole-life sums.

    `last_bytes` were lent in `last_bucket`, the latest five minutes with a lease; only they may be handed back.
    """

    run: str
    destination: str
    granted: int
    sent: int
    last_bucket: int
    last_bytes: int

    @property
    def left(self) -> int:
        return self.granted - self.sent


settings: tuple[Setting, ...] = (
    Setting("egress.poll_ms", "int", 200, "How often the bytes of a run are counted.", minimum=20, maximum=5000),
    Setting("egress.lab_daily_bytes", "int", 10 * 1024 * MIB, "What the whole lab may send out in 24 hours."),
    Setting(
        "egress.model_daily_bytes",
        "int",
        0,
        "What all runs on one model may send out and say in 24 hours; 0: as much as the model's size lets hold.",
    ),
    Setting(
        "egress.said_percent",
        "int",
        50,
        "Part of a model's daily bytes that its runs may use for output, reports and names.",
        minimum=1,
        maximum=100,
    ),
    Setting("egress.compression", "int", 100, "How far a thief is assumed to shrink weights.", minimum=1),
    Setting("egress.respond_hours", "int", 1, "Hours until a theft is found and stopped, for planning.", minimum=1),
    Setting("egress.max_refusals", "int", 200, "Refused connections after which a run's way is cut.", minimum=1),
    Setting("egress.logged_refusals", "int", 16, "Different refusals of one run that the log names.", minimum=1),
    Setting("egress.max_connections", "int", 10_000, "Connections after which a run's way is cut.", minimum=1),
)
