"""The facts that egress publishes. Guards later readers: one refused connection is exactly one entry."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class WayOpened(Event, frozen=True, kw_only=True):
    """A run got its one way out."""

    KIND: ClassVar[str] = "egress.WayOpened"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    profile: str
    policy_digest: str
    destinations: tuple[str, ...]
    unresolved: tuple[str, ...]


class WayClosed(Event, frozen=True, kw_only=True):
    """A run's way out is gone, with what it carried."""

    KIND: ClassVar[str] = "egress.WayClosed"
    SUBJECT: ClassVar[str] = "run"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    run: str
    reason: str
    sent_bytes: int
    granted_bytes: int
    refused: int = 0


class Connected(Event, frozen=True, kw_only=True):
    """A connection to a listed destination was made; no byte of the run went over it before this was on record."""

    KIND: ClassVar[str] = "egress.Connected"
    SUBJECT: ClassVar[str] = "run"
    run: str
    profile: str
    host: str
    port: int


class Unfed(Event, frozen=True, kw_only=True):
    """Nobody had judged a way for two seconds (the server stood still): its forwarder reset every connection."""

    KIND: ClassVar[str] = "egress.Unfed"
    SUBJECT: ClassVar[str] = "run"
    run: str
    sent_bytes: int


class Refused(Event, frozen=True, kw_only=True):
    """A connection was refused; `code` says by which rule. `inside` is the name found inside a tunnel to `host`.

    The same refusal of a run is told once, and only so many different ones; `egress.WayClosed` has their number. A
    long name is cut, with a digest; one that the run's budget for what it says no longer pays for is left out.
    """

    KIND: ClassVar[str] = "egress.Refused"
    SUBJECT: ClassVar[str] = "run"
    run: str
    profile: str
    host: str
    port: int
    code: str
    inside: str = ""


class BudgetSpent(Event, frozen=True, kw_only=True):
    """The ledger lent no more, and the way was cut. `level` and `account` had nothing left."""

    KIND: ClassVar[str] = "egress.BudgetSpent"
    SUBJECT: ClassVar[str] = "run"
    run: str
    profile: str
    host: str
    level: str
    account: str
    sent_bytes: int


class OutputHigh(Event, frozen=True, kw_only=True):
    """A person's runs have said half of what an hour allows them to say of a model. Detections listen."""

    KIND: ClassVar[str] = "egress.OutputHigh"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    profile: str
    person: str
    said_bytes: int
    hour_bytes: int


class OutputSpent(Event, frozen=True, kw_only=True):
    """Nothing more of what a run says is kept: `level` and `account` had no bytes left. Its connections go on."""

    KIND: ClassVar[str] = "egress.OutputSpent"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    level: str
    account: str
    person: str = ""


class PayerJoined(Event, frozen=True, kw_only=True):
    """A run was given weights of one more model, which pays for all that the run sends and says, before it too."""

    KIND: ClassVar[str] = "egress.PayerJoined"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    sent_bytes: int
    said_bytes: int


class StepRefused(Event, frozen=True, kw_only=True):
    """A run did not get to load or save: an account of `model` could not pay for what that tells, or for what the
    run had sent and said before it; `code` says which."""

    KIND: ClassVar[str] = "egress.StepRefused"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    level: str
    account: str
    bytes: int
    code: str
    person: str


class TamperFound(Event, frozen=True, kw_only=True):
    """A row said less than this server knows: somebody with the database put back what was sent, said or lent.

    `code` says which kind of row: `egress.ledger_row` (`what` is an account), `egress.way_row` (a run, with what it
    was lent). This server's own count was believed.
    """

    KIND: ClassVar[str] = "egress.TamperFound"
    SUBJECT: ClassVar[str] = "what"
    what: str
    code: str
