"""The facts that the log records about itself."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class Heartbeat(Event, frozen=True, kw_only=True):
    """The log is alive: a missing heartbeat makes silence, or a cut tail, visible."""

    KIND: ClassVar[str] = "audit.Heartbeat"

    size: int
    every_s: int


class PersonErased(Event, frozen=True, kw_only=True):
    """The clear personal values of one person were destroyed; the entries and all proofs stay valid."""

    KIND: ClassVar[str] = "audit.PersonErased"
    SUBJECT: ClassVar[str] = "person"

    person: str
    values: int


class ForkAccepted(Event, frozen=True, kw_only=True):
    """An operator accepted the present database as the log although the signer's memory says otherwise.

    `signed_size` and `signed_root` are what the signer remembered; with an old checkpoint they prove the fork.
    """

    KIND: ClassVar[str] = "audit.ForkAccepted"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    reason: str
    signed_size: int
    signed_root: str
    found_size: int
    found_root: str


class ClusterMoved(Event, frozen=True, kw_only=True):
    """An operator moved the log into a new PostgreSQL cluster: nothing signed is missing, and it is counted anew.

    `floor` is where the old cluster's count of transactions stood, `counter` where the new one's begins; `waiting`
    rows were on their way and joined the log, or were kept out of it with a line of their own.
    """

    KIND: ClassVar[str] = "audit.ClusterMoved"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    reason: str
    floor: int
    counter: int
    waiting: int


class ClockConfirmed(Event, frozen=True, kw_only=True):
    """The operator of the machine said that a clock which had leapt is right, and it is believed again."""

    KIND: ClassVar[str] = "audit.ClockConfirmed"
    GRAVE: ClassVar[bool] = True
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    trouble: str
    by: str
    reason: str


class OutboxRefused(Event, frozen=True, kw_only=True):
    """A row in the outbox was not written by this software, and was kept out of the log."""

    KIND: ClassVar[str] = "audit.OutboxRefused"

    row: int
    digest: str
    why: str


class LogDamaged(Event, frozen=True, kw_only=True):
    """The running check met a stored entry that is missing, edited, or hidden from lists by its columns."""

    KIND: ClassVar[str] = "audit.LogDamaged"

    index: int
    what: str


class PersonalMissing(Event, frozen=True, kw_only=True):
    """The running check met an entry whose personal value is gone, though no line says that its person was erased."""

    KIND: ClassVar[str] = "audit.PersonalMissing"

    index: int


class LinesLost(Event, frozen=True, kw_only=True):
    """Rows `first` to `last` of a lane were committed with their change, never reached the log, and are gone."""

    KIND: ClassVar[str] = "audit.LinesLost"
    SUBJECT: ClassVar[str] = "lane"

    lane: str
    first: int
    last: int


class LineNotKept(Event, frozen=True, kw_only=True):
    """The database swallowed or changed lines that a change must leave, so that change was refused."""

    KIND: ClassVar[str] = "audit.LineNotKept"

    lines: int


class ServerLeft(Event, frozen=True, kw_only=True):
    """A server stopped, or died, and all that it wrote is in the log: the others wait no more for what it says.

    A server that died is told by the next one over its state `folder`.
    """

    KIND: ClassVar[str] = "audit.ServerLeft"
    SUBJECT: ClassVar[str] = "server"

    server: str
    folder: str


class ServerForgotten(Event, frozen=True, kw_only=True):
    """An operator said that a server is gone for good, so the others wait no more for what only it may know."""

    KIND: ClassVar[str] = "audit.ServerForgotten"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "server"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    server: str
    by: str
    reason: str


class FellBehind(Event, frozen=True, kw_only=True):
    """A server decides nothing any more: it does not know, or has not done, what the log would tell it to.

    Lines have waited for the sequencer for `seconds`, or a follower has stood still; it goes on when that is over.
    """

    KIND: ClassVar[str] = "audit.FellBehind"

    why: str
    seconds: int


class CursorMoved(Event, frozen=True, kw_only=True):
    """The database does not say of a follower what this server wrote: somebody moved it, so that it misses entries.

    It goes on at `resumed` all the same, the last place that this server vouches for.
    """

    KIND: ClassVar[str] = "audit.CursorMoved"
    SUBJECT: ClassVar[str] = "follower"

    follower: str
    found: int
    resumed: int


class WitnessRefused(Event, frozen=True, kw_only=True):
    """A witness refused to cosign: it has seen a log that this one does not continue."""

    KIND: ClassVar[str] = "audit.WitnessRefused"
    SUBJECT: ClassVar[str] = "witness"

    witness: str
    status: int
    size: int
