"""The facts that runs publish. Guards auditors: what was executed, where, and how it ended, by digest."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.clock import Millis
from weighthouse.core.events import Event


class RunSubmitted(Event, frozen=True, kw_only=True):
    """Somebody submitted a run. `order_digest` covers the code, command, data, parent and profile."""

    KIND: ClassVar[str] = "runs.RunSubmitted"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    owner: str
    grant: str | None
    order_digest: str
    environment: str
    dataset: str
    parent: str | None
    risk: str
    egress_profile: str
    must_end: Millis
    session: str = ""


class ReferenceRefused(Event, frozen=True, kw_only=True):
    """An order named something that its run may not follow: `field` of the order, the id it named, and the reason."""

    KIND: ClassVar[str] = "runs.ReferenceRefused"
    SUBJECT: ClassVar[str] = "model"
    model: str
    owner: str
    field: str
    reference: str
    code: str
    hold: str = ""
    """The hold that is why, where one is."""


class RunStarted(Event, frozen=True, kw_only=True):
    """The sandbox was judged from inside and the code began. The fields are what was seen, not what was set."""

    KIND: ClassVar[str] = "runs.RunStarted"
    SUBJECT: ClassVar[str] = "run"
    run: str
    runtime: str
    tier: str
    runtime_digest: str
    kernel: str
    kernel_version: str
    specification: str
    proxy_digest: str


class RunFinished(Event, frozen=True, kw_only=True):
    """The code ended by itself, well."""

    KIND: ClassVar[str] = "runs.RunFinished"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    sent_bytes: int


class StopAsked(Event, frozen=True, kw_only=True):
    """A run was asked to stop.

    `kept` is false where the database did not keep that: the run stops all the same. Somebody writes the database.
    """

    KIND: ClassVar[str] = "runs.StopAsked"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    why: str
    by: str
    kept: bool


class RunStopped(Event, frozen=True, kw_only=True):
    """A run was ended by a person or because what it rested on ended. `why` is free text of a person, or a code."""

    KIND: ClassVar[str] = "runs.RunStopped"
    SUBJECT: ClassVar[str] = "run"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"text"})
    run: str
    model: str
    why: str
    by: str
    text: str
    sent_bytes: int
    hold: str = ""
    """The hold that is why, where one is and still stands."""


class RunFailed(Event, frozen=True, kw_only=True):
    """A run did not end well: its code failed, its time ran out, its way was cut, or it could not be started."""

    KIND: ClassVar[str] = "runs.RunFailed"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    code: str
    exit_status: int | None
    sent_bytes: int
    hold: str = ""
    """The hold that kept it from starting, where one did."""


class VolumeFilled(Event, frozen=True, kw_only=True):
    """A run has filled the place that it may write to; what it asked for beyond was refused to it alone."""

    KIND: ClassVar[str] = "runs.VolumeFilled"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    code: str
    size_bytes: int


class RefusedOften(Event, frozen=True, kw_only=True):
    """A run was refused by the control plane more often than is named, and was ended; `refused` counts them all."""

    KIND: ClassVar[str] = "runs.RefusedOften"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    code: str
    refused: int


class ForeignPeer(Event, frozen=True, kw_only=True):
    """A process that is not a run's own proxy reached that run's socket to the control plane, and got no answer."""

    KIND: ClassVar[str] = "runs.ForeignPeer"
    SUBJECT: ClassVar[str] = "run"
    run: str
    code: str
    process: int
    user: int


class Unsandboxed(Event, frozen=True, kw_only=True):
    """A run was started without any sandbox, because the operator's settings allow it. This is an alarm."""

    KIND: ClassVar[str] = "runs.Unsandboxed"
    SUBJECT: ClassVar[str] = "run"
    run: str
