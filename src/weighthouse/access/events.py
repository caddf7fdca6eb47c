"""The facts that access publishes. Free text that people wrote is personal: the log keeps a salted commitment."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.clock import Millis
from weighthouse.core.events import Event


class RequestSubmitted(Event, frozen=True, kw_only=True):
    """Somebody asked. `digest` names every field of the request."""

    KIND: ClassVar[str] = "access.RequestSubmitted"
    SUBJECT: ClassVar[str] = "request_id"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    request_id: str
    digest: str
    policy_digest: str
    principal: str
    entitlement: str
    resource: str
    duration: Millis
    reason: str
    session: str = ""


class VoteCast(Event, frozen=True, kw_only=True):
    """One person's signed vote."""

    KIND: ClassVar[str] = "access.VoteCast"
    SUBJECT: ClassVar[str] = "request_id"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"comment"})

    request_id: str
    request_digest: str
    policy_digest: str
    verdict: str
    voter: str
    kind: str
    device: str
    signed_at: Millis
    signature: str
    comment: str
    session: str = ""


class VoteVoided(Event, frozen=True, kw_only=True):
    """An approval counts no more, for good: whoever held the session of its voter may have cast it."""

    KIND: ClassVar[str] = "access.VoteVoided"
    SUBJECT: ClassVar[str] = "request_id"

    request_id: str
    vote: str
    voter: str
    by: str


class RequestApproved(Event, frozen=True, kw_only=True):
    """All slots are filled by distinct people. `filled` reads slot=person."""

    KIND: ClassVar[str] = "access.RequestApproved"
    SUBJECT: ClassVar[str] = "request_id"

    request_id: str
    digest: str
    policy_digest: str
    filled: tuple[str, ...]


class RequestDenied(Event, frozen=True, kw_only=True):
    """An eligible approver said no."""

    KIND: ClassVar[str] = "access.RequestDenied"
    SUBJECT: ClassVar[str] = "request_id"

    request_id: str
    by: str


class RequestWithdrawn(Event, frozen=True, kw_only=True):
    """The requester took it back."""

    KIND: ClassVar[str] = "access.RequestWithdrawn"
    SUBJECT: ClassVar[str] = "request_id"

    request_id: str


class RequestLapsed(Event, frozen=True, kw_only=True):
    """Nobody decided in time, or policy moved on (`why`)."""

    KIND: ClassVar[str] = "access.RequestLapsed"
    SUBJECT: ClassVar[str] = "request_id"

    request_id: str
    why: str


class RequestOvertaken(Event, frozen=True, kw_only=True):
    """A new policy no longer allows what was asked, so it ended. Names both sides: who asked, which teams decided."""

    KIND: ClassVar[str] = "access.RequestOvertaken"
    SUBJECT: ClassVar[str] = "request_id"

    request_id: str
    principal: str
    entitlement: str
    resource: str
    asked: tuple[str, ...]
    why: str
    policy_digest: str


class GrantStarted(Event, frozen=True, kw_only=True):
    """Access begins, and its end is already set."""

    KIND: ClassVar[str] = "access.GrantStarted"
    SUBJECT: ClassVar[str] = "grant"

    grant: str
    request_id: str
    request_digest: str
    policy_digest: str
    principal: str
    entitlement: str
    resource: str
    actions: tuple[str, ...]
    environment: str
    not_before: Millis
    end: Millis
    approvers: tuple[str, ...]


class GrantEnded(Event, frozen=True, kw_only=True):
    """Access is over: expired, revoked, surrendered, used."""

    KIND: ClassVar[str] = "access.GrantEnded"
    SUBJECT: ClassVar[str] = "grant"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"text"})

    grant: str
    principal: str
    resource: str
    why: str
    by: str
    text: str


class HoldPlaced(Event, frozen=True, kw_only=True):
    """A stop that beats every grant."""

    KIND: ClassVar[str] = "access.HoldPlaced"
    SUBJECT: ClassVar[str] = "held"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    hold: str
    held: str
    kind: str
    actions: tuple[str, ...]
    reason: str
    by: str


class HoldLookedAt(Event, frozen=True, kw_only=True):
    """The first of two people has looked at what puts the log in doubt, and would lift the hold."""

    KIND: ClassVar[str] = "access.HoldLookedAt"
    SUBJECT: ClassVar[str] = "held"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    hold: str
    held: str
    reason: str
    by: str
    session: str = ""


class HoldLifted(Event, frozen=True, kw_only=True):
    """The stop is gone. `authority` is the digest of the committee's motion, for holds of that kind; `kind` is what
    the hold was lifted as, so that no server lets one go that was placed as another."""

    KIND: ClassVar[str] = "access.HoldLifted"
    VERSION: ClassVar[int] = 2
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "held"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    hold: str
    held: str
    kind: str
    reason: str
    by: str
    authority: str
    session: str = ""


class OpeningFell(Event, frozen=True, kw_only=True):
    """What was opened in a session that was somebody else's is closed again: a hold stands as `hold`, or a person is
    frozen. `opened` is the index of the line that opened it; `again` is false where a member without whom the
    committee could decide nothing was thawed, and so is not frozen again."""

    KIND: ClassVar[str] = "access.OpeningFell"
    SUBJECT: ClassVar[str] = "about"

    about: str
    what: str
    opened: str
    opened_by: str
    session: str
    again: bool
    hold: str
    by: str


class Allowed(Event, frozen=True, kw_only=True):
    """A decision was yes, by which rule and grant, under which policy."""

    KIND: ClassVar[str] = "access.Allowed"
    SUBJECT: ClassVar[str] = "resource"

    principal: str
    kind: str
    action: str
    resource: str
    rule: str
    grant: str
    policy_digest: str
    context: dict[str, str | int | bool]


class WorkloadBound(Event, frozen=True, kw_only=True):
    """A run that no grant was pinned to has used one: on this resource no other grant of its person serves it."""

    KIND: ClassVar[str] = "access.WorkloadBound"
    SUBJECT: ClassVar[str] = "workload"

    workload: str
    resource: str
    grant: str
    action: str


class Denied(Event, frozen=True, kw_only=True):
    """A decision was no, or a step of access was refused. `code` is the deciding reason, and `hold` the hold that is
    it: of several that stand against it the one placed first; empty in old lines."""

    KIND: ClassVar[str] = "access.Denied"
    SUBJECT: ClassVar[str] = "resource"

    principal: str
    kind: str
    action: str
    resource: str
    code: str
    rule: str
    grant: str
    policy_digest: str
    context: dict[str, str | int | bool]
    hold: str = ""


class PolicyPublished(Event, frozen=True, kw_only=True):
    """A new policy is in force. `changes` are its differences in plain words, the wider ones first; beyond a hundred
    the last one says how many more there are. `motion` is the committee's, where the text changes who decides."""

    KIND: ClassVar[str] = "access.PolicyPublished"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "digest"

    digest: str
    version: int
    previous: str
    by: str
    grant: str
    changes: tuple[str, ...]
    motion: str = ""
    session: str = ""


class PublicationFell(Event, frozen=True, kw_only=True):
    """What a published text rests on was done by somebody else than it names: `fell` is the kind of that act, and
    `person` in whose name. The text stays in force, if it is, until people put another there."""

    KIND: ClassVar[str] = "access.PublicationFell"
    SUBJECT: ClassVar[str] = "digest"

    version: int
    digest: str
    previous: str
    published_by: str
    fell: str
    person: str
    session: str
    in_force: bool
    by: str
