"""The facts that detection publishes: an alert stands, a response was taken, somebody has seen it, a row lied."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class AlertRaised(Event, frozen=True, kw_only=True):
    """A rule concluded that something is wrong. `evidence` are the indexes of the log entries it rests on, `incident`
    names it: the same facts always give the same name, and it is raised once."""

    KIND: ClassVar[str] = "detect.AlertRaised"
    VERSION: ClassVar[int] = 2
    SUBJECT: ClassVar[str] = "alert"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"text"})

    alert: str
    rule: str
    severity: str
    principal: str
    session: str
    evidence: tuple[int, ...]
    text: str
    incident: str


class ResponseTaken(Event, frozen=True, kw_only=True):
    """What was done about an alert, at once and in the same transaction. `actions` name the calls that succeeded;
    `failed` names those that did not, with the error code."""

    KIND: ClassVar[str] = "detect.ResponseTaken"
    SUBJECT: ClassVar[str] = "alert"

    alert: str
    rule: str
    principal: str
    actions: tuple[str, ...]
    failed: tuple[str, ...]


class AlertAcknowledged(Event, frozen=True, kw_only=True):
    """A responder has seen the alert and takes it from here."""

    KIND: ClassVar[str] = "detect.AlertAcknowledged"
    SUBJECT: ClassVar[str] = "alert"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"note"})

    alert: str
    by: str
    note: str
    session: str = ""


class AlertRowRefused(Event, frozen=True, kw_only=True):
    """A row said that this incident was told already, and no line says so: it was taken away; the alert is raised."""

    KIND: ClassVar[str] = "detect.AlertRowRefused"
    SUBJECT: ClassVar[str] = "row"

    row: str
    incident: str
