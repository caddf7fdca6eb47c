"""The facts this room publishes. Addresses, agents and names are personal: the log keeps commitments to them only.

`origin` is a keyed mark of an address: detections can group by it, nobody can turn it back into the address.
"""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class SessionStarted(Event, frozen=True, kw_only=True):
    """A session was made after its risk check."""

    KIND: ClassVar[str] = "identity.SessionStarted"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"address", "user_agent"})
    SUBJECT: ClassVar[str] = "session"
    session: str
    principal: str
    binding: str
    level: int
    method: str
    reasons: tuple[str, ...]
    origin: str
    ends: int
    address: str
    user_agent: str
    key: str = ""
    """The thumbprint of the key that it is bound to; empty for a browser's, and in old lines."""


class SessionEnded(Event, frozen=True, kw_only=True):
    """A session ended before its time, and by whose hand."""

    KIND: ClassVar[str] = "identity.SessionEnded"
    SUBJECT: ClassVar[str] = "session"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    session: str
    principal: str
    reason: str
    by: str
    version: int = 0
    whose: str = ""
    """own: nothing is said against what was done in it; foreign: none of it is believed; empty in old lines."""


class SessionUsedElsewhere(Event, frozen=True, kw_only=True):
    """A session's secret was presented without what it is bound to; the session is ended."""

    KIND: ClassVar[str] = "identity.SessionUsedElsewhere"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"address", "user_agent"})
    SUBJECT: ClassVar[str] = "session"
    session: str
    principal: str
    changed: str
    origin: str
    address: str
    user_agent: str


class SessionMoved(Event, frozen=True, kw_only=True):
    """A session is used from an address it was not seen at before, with its mark or key: a journey, most likely."""

    KIND: ClassVar[str] = "identity.SessionMoved"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"address"})
    SUBJECT: ClassVar[str] = "session"
    session: str
    principal: str
    binding: str
    outcome: str
    countries: int
    returned: bool
    since: int
    origin: str
    address: str


class SignInFailed(Event, frozen=True, kw_only=True):
    """A sign-in did not come about: wrong password at the provider, or a token, state or proof refused here."""

    KIND: ClassVar[str] = "identity.SignInFailed"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"account", "address", "reason", "user_agent"})
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    account_mark: str
    reason: str
    source: str
    origin: str
    account: str
    address: str
    user_agent: str


class SignInDenied(Event, frozen=True, kw_only=True):
    """The provider vouched for somebody, and this room said no: not admitted, or too risky."""

    KIND: ClassVar[str] = "identity.SignInDenied"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"account", "address", "user_agent"})
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    reasons: tuple[str, ...]
    origin: str
    account: str
    address: str
    user_agent: str


class StepUpDemanded(Event, frozen=True, kw_only=True):
    """A second factor was asked for before a session was made."""

    KIND: ClassVar[str] = "identity.StepUpDemanded"
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    reasons: tuple[str, ...]
    origin: str


class StepUpDone(Event, frozen=True, kw_only=True):
    """A live session was raised by a fresh second factor."""

    KIND: ClassVar[str] = "identity.StepUpDone"
    SUBJECT: ClassVar[str] = "session"
    session: str
    principal: str
    level: int
    method: str


class ActConfirmed(Event, frozen=True, kw_only=True):
    """A second factor was given for exactly these acts, shown together; each may be done once with it."""

    KIND: ClassVar[str] = "identity.ActConfirmed"
    SUBJECT: ClassVar[str] = "session"
    session: str
    principal: str
    acts: tuple[str, ...]
    method: str


class ActUnconfirmed(Event, frozen=True, kw_only=True):
    """An act was refused because no second factor had been given for it: the person is asked, or it was not them."""

    KIND: ClassVar[str] = "identity.ActUnconfirmed"
    SUBJECT: ClassVar[str] = "session"
    session: str
    principal: str
    act: str
    about: str


class FactorUsed(Event, frozen=True, kw_only=True):
    """The factor that was given for an act has done it, and is good for nothing more, here or at another server."""

    KIND: ClassVar[str] = "identity.FactorUsed"
    SUBJECT: ClassVar[str] = "factor"
    factor: str
    principal: str
    act: str
    about: str
    until: int


class FactorSpent(Event, frozen=True, kw_only=True):
    """The provider vouched for a second factor of this moment: no server counts it, or an earlier one, again."""

    KIND: ClassVar[str] = "identity.FactorSpent"
    SUBJECT: ClassVar[str] = "account_mark"
    account_mark: str
    auth_time: int


class OpeningSigned(Event, frozen=True, kw_only=True):
    """A key signed at `signed` to open what was closed: no server takes this signature, or an earlier one, again."""

    KIND: ClassVar[str] = "identity.OpeningSigned"
    SUBJECT: ClassVar[str] = "device"
    device: str
    principal: str
    act: str
    about: str
    signed: int
    session: str = ""


class PersonFrozen(Event, frozen=True, kw_only=True):
    """A person was frozen: every session ended, none can begin, no vote of theirs counts."""

    KIND: ClassVar[str] = "identity.PersonFrozen"
    SUBJECT: ClassVar[str] = "principal"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    principal: str
    reason: str
    by: str
    version: int = 0


class PersonThawed(Event, frozen=True, kw_only=True):
    """A frozen person may sign in again."""

    KIND: ClassVar[str] = "identity.PersonThawed"
    SUBJECT: ClassVar[str] = "principal"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    principal: str
    reason: str
    by: str
    version: int = 0
    session: str = ""


class AccountAdopted(Event, frozen=True, kw_only=True):
    """At the upgrade: as which account a person's older statements count; empty if policy names none or several."""

    KIND: ClassVar[str] = "identity.AccountAdopted"
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    account: str
    candidates: int
    ended: int


class Disowned(Event, frozen=True, kw_only=True):
    """A person said that it was not them: every session of theirs has ended, every key is set aside."""

    KIND: ClassVar[str] = "identity.Disowned"
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    session: str
    sessions: int
    devices: int


class KeysRestored(Event, frozen=True, kw_only=True):
    """Security let a key of a person count again that was set aside. Before keys were named, `devices` of them."""

    KIND: ClassVar[str] = "identity.KeysRestored"
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    devices: int
    by: str
    device: str = ""
    thumbprint: str = ""
    session: str = ""


class DeviceEnrolled(Event, frozen=True, kw_only=True):
    """A person enrolled a key that may sign their votes."""

    KIND: ClassVar[str] = "identity.DeviceEnrolled"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"name"})
    SUBJECT: ClassVar[str] = "device"
    device: str
    principal: str
    thumbprint: str
    name: str
    session: str = ""
    beside: tuple[str, ...] = ()
    """The keys of theirs that counted then, under whose eyes it grows up; not told in old lines."""


class DeviceConfirmed(Event, frozen=True, kw_only=True):
    """A new key was confirmed, by an older one of its person, a second person's or the operator: it signs now."""

    KIND: ClassVar[str] = "identity.DeviceConfirmed"
    SUBJECT: ClassVar[str] = "device"
    device: str
    principal: str
    by: str
    how: str
    session: str = ""


class KeyFellBack(Event, frozen=True, kw_only=True):
    """What let a key count (`act`: confirm, restore, beside) was said in a session not `by`'s, or rests on one.
    `since` is when the first of what fell with it was said, 0 in old lines; `sessions` is where, and `waits` whether
    the key counts by nothing else. Neither is told in old lines. `act` enrol: the key counts on by who looked at it
    since, but what it did before in the session that enrolled it fell."""

    KIND: ClassVar[str] = "identity.KeyFellBack"
    SUBJECT: ClassVar[str] = "device"
    device: str
    principal: str
    act: str
    by: str
    since: int = 0
    sessions: tuple[str, ...] = ()
    waits: bool = False


class KeyNotConfirmed(Event, frozen=True, kw_only=True):
    """Somebody would have confirmed a key without a grown key that signs so now: perhaps not themselves."""

    KIND: ClassVar[str] = "identity.KeyNotConfirmed"
    SUBJECT: ClassVar[str] = "device"
    device: str
    principal: str
    by: str
    code: str


class OpeningRefused(Event, frozen=True, kw_only=True):
    """Somebody would have opened what was closed without a grown key of their own, or sent what a key signed before
    its session was ended as somebody else's: perhaps not themselves."""

    KIND: ClassVar[str] = "identity.OpeningRefused"
    SUBJECT: ClassVar[str] = "principal"
    principal: str
    act: str
    about: str
    code: str


class DeviceEnded(Event, frozen=True, kw_only=True):
    """A device's key counts no more: `key` is its thumbprint, empty where its record was not believed. `whose` is
    foreign where what was done with it from `since` on is not believed, own where nothing is said against it, and
    empty where it only follows from something else, and in old lines."""

    KIND: ClassVar[str] = "identity.DeviceEnded"
    SUBJECT: ClassVar[str] = "device"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    device: str
    principal: str
    reason: str
    by: str
    version: int = 0
    key: str = ""
    whose: str = ""
    since: int = 0


class WorkloadStarted(Event, frozen=True, kw_only=True):
    """A run got an identity of its own."""

    KIND: ClassVar[str] = "identity.WorkloadStarted"
    SUBJECT: ClassVar[str] = "run"
    run: str
    attributes: dict[str, str]
    until: int


class WorkloadEnded(Event, frozen=True, kw_only=True):
    """A run's identity counts no more."""

    KIND: ClassVar[str] = "identity.WorkloadEnded"
    SUBJECT: ClassVar[str] = "run"
    run: str
    version: int = 0


class CredentialRefused(Event, frozen=True, kw_only=True):
    """A known session or workload was presented with a proof or binding that does not hold.

    `presented_by` is the run through whose own way it came, where it came through one: the thief, not the victim.
    """

    KIND: ClassVar[str] = "identity.CredentialRefused"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"address"})
    SUBJECT: ClassVar[str] = "subject_id"
    subject_id: str
    principal: str
    code: str
    origin: str
    address: str
    presented_by: str = ""


class RecordRefused(Event, frozen=True, kw_only=True):
    """A row of this room failed its seal, or is older than what this server remembers: the database was edited."""

    KIND: ClassVar[str] = "identity.RecordRefused"
    SUBJECT: ClassVar[str] = "row"
    table: str
    row: str
    why: str
