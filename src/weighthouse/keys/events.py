"""The facts that keys publishes: what was released to whom, what was refused, and what happened to a KEK."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class KeyReleased(Event, frozen=True, kw_only=True):
    """Data keys left, sealed to `recipient` (SHA-256 of its public key), under `grant`. `purpose` is new or open."""

    KIND: ClassVar[str] = "keys.KeyReleased"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "version"
    purpose: str
    model: str
    version: str
    count: int
    kek: str
    kek_version: int
    grant: str
    recipient: str


class KeyRefused(Event, frozen=True, kw_only=True):
    """Data keys were asked for and refused here, after access had said yes or before it was asked."""

    KIND: ClassVar[str] = "keys.KeyRefused"
    SUBJECT: ClassVar[str] = "model"
    purpose: str
    model: str
    count: int
    code: str


class CountLowered(Event, frozen=True, kw_only=True):
    """The database said `said` data keys of this minute, the log proves `logged`: somebody lowered the count."""

    KIND: ClassVar[str] = "keys.CountLowered"
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    said: int
    logged: int


class KekRotated(Event, frozen=True, kw_only=True):
    """A KEK has a new current version; older ones still unwrap until the minimum is raised."""

    KIND: ClassVar[str] = "keys.KekRotated"
    SUBJECT: ClassVar[str] = "kek"
    kek: str
    version: int


class KekMinimumRaised(Event, frozen=True, kw_only=True):
    """Versions of a KEK below `minimum` no longer unwrap."""

    KIND: ClassVar[str] = "keys.KekMinimumRaised"
    SUBJECT: ClassVar[str] = "kek"
    kek: str
    minimum: int


class KekDestroyed(Event, frozen=True, kw_only=True):
    """A KEK is gone for good, and with it everything it wrapped (crypto-shredding)."""

    KIND: ClassVar[str] = "keys.KekDestroyed"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "kek"
    kek: str
    order: str = ""
    """The order that it carries out; empty in lines from before there were any."""


class PassphraseChanged(Event, frozen=True, kw_only=True):
    """The keys are sealed by another passphrase from now on. Copies of older files open with the older one still."""

    KIND: ClassVar[str] = "keys.PassphraseChanged"
    service: str
