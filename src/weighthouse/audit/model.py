"""The nouns of the log: entries, heads, reports and followers. Frozen, so that what was read stays what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.core.settings import Setting

if TYPE_CHECKING:
    from weighthouse.core.work import System, Unit

settings = (
    Setting(
        "log.origin", "text", "weighthouse.local/log", "Name of the log in its checkpoints; never change it later."
    ),
    Setting("log.ml_dsa", "bool", False, "Sign checkpoints of the log with ML-DSA-44 as well as Ed25519."),
    Setting(
        "log.heartbeat_s",
        "int",
        300,
        "Seconds between heartbeat entries, so that silence is visible.",
        minimum=1,
    ),
    Setting(
        "log.backlog",
        "int",
        100_000,
        "PostgreSQL: how many entries may wait for the sequencer before changes are refused.",
        minimum=1,
    ),
    Setting("log.sequence_ms", "int", 50, "PostgreSQL: milliseconds between two rounds of the sequencer.", minimum=1),
    Setting(
        "log.witnesses", "text", "", "File in tlog-policy form that names the witnesses to ask; empty means none."
    ),
    Setting("log.witness_s", "int", 60, "Seconds between two rounds of asking the witnesses.", minimum=1),
)


OWED_WORDS = (
    "Its change could not be committed; the no stands.",
    "Its change could not be committed; the stop stands.",
)
"""What stands for a person's words in the line of a no that is owed: this software's own, which nobody conceals."""


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """What one entry says, before it is bytes. `actor` and `subject` are ids, never names; times are Millis."""

    kind: str
    version: int
    at: Millis
    actor: str
    request: str
    subject: str
    data: dict[str, Any]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the log: `leaf` holds the very bytes the tree commits to, the rest is read out of them."""

    index: int
    at: Millis
    kind: str
    actor: str
    subject: str
    request: str
    data: dict[str, Any]
    leaf: bytes


class Personal(msgspec.Struct, frozen=True):
    """A personal value kept beside the log: what the leaf holds of it, whose it is, the salt and the clear JSON."""

    commitment: str
    owner: str
    salt: bytes
    clear: str


class Head(msgspec.Struct, frozen=True):
    """Where the log stands: `checkpoint` is the signed note, None while the log is empty."""

    size: int
    root_hex: str
    checkpoint: str | None
    at: Millis


class Remembered(msgspec.Struct, frozen=True):
    """The size and root of the last tree that this signer signed."""

    size: int
    root: bytes


class Problem(msgspec.Struct, frozen=True):
    """Something wrong with the log: `index` is the first entry concerned, -1 when it is not about one entry."""

    index: int
    what: str


class Report(msgspec.Struct, frozen=True):
    """The outcome of checking the whole log; problems are in the order of their place in the log."""

    ok: bool
    size: int
    problems: tuple[Problem, ...]


class ExportReport(msgspec.Struct, frozen=True):
    """What an export wrote."""

    size: int
    files: int
    bytes: int
    keys: tuple[str, ...]


class Follower(msgspec.Struct, frozen=True):
    """A reader of the log with a cursor of its own.

    `kinds` are the kinds it handles (empty means all); `handle` runs inside the transaction that moves the cursor.
    """

    name: str
    kinds: frozenset[str]
    handle: Callable[[Unit, Entry], None]


class Learner(msgspec.Struct, frozen=True):
    """What a room remembers outside the database, taken from the log: every server knows what any has refused.

    `learn` is handed every entry of `kinds` in order, perhaps more than once: repeating one must change nothing.
    """

    kinds: frozenset[str]
    learn: Callable[[System, Sequence[Entry]], None]


class Scan(msgspec.Struct, frozen=True):
    """How far the running check of all entries has come, how often it reached the end, and what is wrong where.

    `unkept` is an entry whose personal value is gone without a line, -1 while none is known.
    """

    place: int = 0
    rounds: int = 0
    problem: str = ""
    at: int = 0
    size: int = 0
    unkept: int = -1


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How the log is: what waits and for how long, for how long heartbeats are missing, what is lost or damaged."""

    size: int
    waiting: int
    oldest: Millis
    silent: Millis
    lost: int
    scan: Scan
    problems: tuple[str, ...]


class Backlog(msgspec.Struct, frozen=True):
    """How many committed entries wait for their index, and for how many milliseconds the oldest has waited."""

    waiting: int
    oldest: Millis


class Doubt(msgspec.Struct, frozen=True):
    """What speaks against this log. `seen` tells one contradiction from the next of the same cause; a `lasting` one
    goes away only with its cause, any other may be looked at and settled by people."""

    cause: str
    seen: str
    detail: str
    lasting: bool = False


class Gap(msgspec.Struct, frozen=True):
    """Rows `first` to `last` of a lane that were committed and are nowhere."""

    lane: str
    first: int
    last: int


class Acknowledged(msgspec.Struct, frozen=True):
    """The last row of a lane whose commit was acknowledged, and when."""

    lane: str
    number: int
    at: Millis


class Witnessed(msgspec.Struct, frozen=True):
    """What one witness answered: the size it cosigned, or why it did not."""

    witness: str
    size: int
    cosigned: bool
    detail: str
