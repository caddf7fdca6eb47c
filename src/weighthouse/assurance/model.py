"""The nouns of assurance: what a theft must meet, what it met, and what a check found.

Guards the score from kindness: the expectation is written down before the attack, in values that cannot change.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weighthouse.core.clock import DAY, HOUR, Millis

Status = Literal["BLOCKED", "DETECTED", "MISSED", "NOT RUN"]
Result = Literal["satisfied", "not-satisfied", "not-tested"]

NOT_RUN: Status = "NOT RUN"
SAMPLES = 5
PERIOD: Millis = 90 * DAY
ATTACK_FRESH: Millis = 2 * DAY
"""How long the outcome of an attack may be believed."""
CALLS_PER_PAGE = 200


class Trace(msgspec.Struct, frozen=True):
    """A log line that must exist exactly once after the attack: its kind, and values its data must hold.

    A name may be a path (`reasons.0.code`); `*` stands for any element of a list.
    """

    kind: str
    where: dict[str, str] = {}


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What must stop a theft: the room, the code it must answer with, the lines it must leave, and those it must not.

    `traces` may be empty only where nothing is written by design: malformed input, or a log unfit to be written to.
    """

    status: Literal["BLOCKED", "DETECTED"]
    room: str
    code: str
    traces: tuple[Trace, ...]
    absent: tuple[Trace, ...] = ()


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What the thief met. `code` is empty when nothing refused; `loot` names what was got away with."""

    code: str = ""
    message: str = ""
    loot: str = ""


class Line(msgspec.Struct, frozen=True):
    """One log entry as far as judging needs it."""

    index: int
    kind: str
    data: dict[str, object]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of one attack, with the reason in words and the log line that proves it."""

    status: Status
    reason: str
    index: int | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one scenario, as signed into the log. `rule` is the code that stopped it."""

    id: str
    title: str
    techniques: tuple[str, ...]
    status: Status
    room: str
    rule: str
    reason: str
    log_index: int | None
    expected: str
    at: Millis

    @property
    def held(self) -> bool:
        """Whether the guard did what was promised."""
        return self.status == self.expected


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """On what something was tried or computed: digests of the program's files, of the catalogue of attacks and of the
    policy in force. Empty in lines of before these were kept, which prove nothing of any."""

    program: str = ""
    catalogue: str = ""
    policy: str = ""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an attack, as far as what it proves needs it."""

    status: str
    expected: str
    at: Millis
    index: int
    version: Version


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of one attack prove now. `why` says why nothing was tested; `index` is the line it rests on."""

    result: Literal["held", "missed", "not tested"]
    why: str
    index: int | None


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """The fixed part of a check: what it asks, in which version, over which period, and how long it stays fresh."""

    id: str
    title: str
    controls: tuple[str, ...]
    version: int
    fresh_for: Millis


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found. `population` is how many things it looked at; `failing` are log indexes that break it."""

    result: Result
    detail: str
    population: int
    failing: tuple[int, ...] = ()
    samples: tuple[str, ...] = ()
    """Digests of log leaves looked at, failing ones first; the last digest is over all of them."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A check with its newest finding, as shown to an auditor."""

    id: str
    title: str
    controls: tuple[str, ...]
    result: Result
    detail: str
    at: Millis | None
    period_from: Millis | None
    period_to: Millis | None
    query_version: int
    population: int
    failing: tuple[int, ...]
    samples: tuple[str, ...]
    fresh_until: Millis | None
    log_index: int | None


SHEETS: tuple[Sheet, ...] = (
    Sheet(
        id="E-01",
        title="Every grant on weights had the eligible approvers of its class, two at least, never the requester",
        controls=("O-31", "AC-3(2)"),
        version=2,
        fresh_for=DAY,
    ),
    Sheet(
        id="E-02",
        title="No standing access to weights; no grant longer than its class allows",
        controls=("AC-2(6)", "AC-6(5)"),
        version=3,
        fresh_for=DAY,
    ),
    Sheet(
        id="E-07",
        title="No session was created without a risk evaluation",
        controls=("IA-2", "O-06"),
        version=1,
        fresh_for=DAY,
    ),
    Sheet(
        id="E-17",
        title="The log verifies end to end",
        controls=("AU-9(3)", "AU-10"),
        version=1,
        fresh_for=6 * HOUR,
    ),
    Sheet(
        id="E-19",
        title="Every attack of the catalogue was run and stopped or detected as expected",
        controls=("CA-8(2)",),
        version=3,
        fresh_for=ATTACK_FRESH,
    ),
)
