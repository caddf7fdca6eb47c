"""The nouns of access. Frozen, so that what was signed, shown and stored is one and the same value.

Times are milliseconds of UTC. `Request.content` is what the digest covers and what approvers sign: everything but
the state, so that an edit of any field is another request.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Literal, NoReturn

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.core.ids import GrantId, HoldId, RequestId

PUBLISH = "policy.publish"
VOID = "access.vote_void"
RequestState = Literal["pending", "approved", "denied", "withdrawn", "lapsed", "invalidated"]
GrantState = Literal["active", "ended"]
EndReason = Literal["expired", "revoked", "surrendered", "used", "superseded", "account_moved"]
Ballot = Literal["approve", "deny"]
VoteKind = Literal["device", "attested"]
HoldKind = Literal["security", "governance", "log"]

WORKLOAD_PERSON = "person"  # the attribute of a workload that names the person whose grant it works under
WORKLOAD_GRANT = "grant"  # the attribute that pins it to one grant; without it the first one used binds it
WORKLOAD_ACCOUNT = "account"  # the attribute that names the account which proved that person
WORKLOAD_MODEL = "model"  # the attribute that names what it was ordered for
WORKLOAD_SANDBOX = "sandbox"
WORKLOAD_IMAGE = "image_digest"
WORKLOAD_ENVIRONMENT = "environment"


def grant_of(request: str) -> GrantId:
    """The id of the one grant that a request can become: one request, one name, so that no second statement about it
    (kept from a transaction that was rolled back, say) lives on under another name when the first has ended."""
    return GrantId("grt_" + request.removeprefix("req_"))


class Slot(msgspec.Struct, frozen=True):
    """A named seat: `count` different members of `team`."""

    name: str
    team: str
    count: int


class Reason(msgspec.Struct, frozen=True):
    """One reason of a decision: a stable code, a sentence, the rule that gave it, and the grant it is about."""

    code: str
    text: str
    rule: str = ""
    grant: GrantId | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A yes or no with its reasons, the deciding one first. Its truth value is an error: read `allowed`."""

    allowed: bool
    action: str
    resource: str
    principal: str
    reasons: tuple[Reason, ...]
    grant: GrantId | None = None
    until: Millis | None = None
    policy_digest: str = ""
    remedy: str = ""
    missing: tuple[str, ...] = ()
    hold: str = ""
    """The hold that stands against it, where one is the reason."""

    def __bool__(self) -> NoReturn:
        raise TypeError("A decision has no truth value: read .allowed, or call access.require, which raises.")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `actions`, `slots`, `vote_signature`, `fresh`, `cls` and `environment` are what policy said when it
    was made; `operation` pins one operation; `lapses` is until when it may be voted on. `account` is the one that
    proved who asked; a request without one is from before accounts were kept. `session` is the one it was asked in,
    empty in what is from before that was kept."""

    id: RequestId
    entitlement: str
    resource: str
    person: str
    duration: Millis
    reason: str
    operation: dict[str, str | int | bool]
    actions: tuple[str, ...]
    slots: tuple[Slot, ...]
    vote_signature: VoteKind
    cls: str
    environment: str
    policy_digest: str
    created: Millis
    lapses: Millis
    account: str = ""
    session: str = ""
    state: RequestState = "pending"
    digest: str = ""
    settled: Millis | None = None
    settled_why: str = ""
    row: int = 0

    def content(self) -> dict[str, Any]:
        """Everything that the digest covers, as JSON-ready values."""
        built = msgspec.to_builtins(self)
        left_out = _STATE | {name for name in ("account", "session") if not getattr(self, name)}
        return {key: value for key, value in built.items() if key not in left_out}


_STATE = frozenset({"state", "digest", "settled", "settled_why", "row"})


class VoteSignature(msgspec.Struct, frozen=True, kw_only=True):
    """How a vote was signed. `device`: raw ES256 by an enrolled device, base64url in `value`. `attested`: the server
    signs that this session voted; `value` and `device` are empty. `at` is the time inside the signed statement."""

    kind: VoteKind
    at: Millis
    device: str = ""
    value: str = ""


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One person's vote, with all that is needed to check its signature again years later."""

    request: RequestId
    request_digest: str
    policy_digest: str
    verdict: Ballot
    voter: str
    kind: VoteKind
    device: str
    at: Millis
    signature: str
    comment: str = ""
    account: str = ""
    audience: str = ""
    """The server that it was given for; empty in what is from before that was signed."""
    session: str = ""
    """The one that it was cast in; empty in what is from before that was kept."""
    seal: str = ""
    """The server's code over what was signed and the session, while the vote stands in a row of its own."""

    def statement(self) -> dict[str, Any]:
        """What was signed. Form 1, from before accounts were kept, and 2, from before servers were named, are still
        verified and never made."""
        form = 3 if self.audience else 2 if self.account else 1
        named = {"account": self.account, "audience": self.audience}
        return {
            "type": f"weighthouse/vote/{form}",
            **{name: said for name, said in named.items() if said},
            "request": self.request,
            "request_digest": self.request_digest,
            "policy_digest": self.policy_digest,
            "verdict": self.verdict,
            "voter": self.voter,
            "device": self.device,
            "at": self.at,
        }


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant: its request whole, the votes that gave it, and its time. The seal covers all of this."""

    id: GrantId
    request: Request
    votes: tuple[Vote, ...]
    not_before: Millis
    end: Millis
    policy_digest: str
    state: GrantState = "active"
    ended: Millis | None = None
    ended_why: str = ""
    ended_by: str = ""

    @property
    def person(self) -> str:
        return self.request.person

    @property
    def resource(self) -> str:
        return self.request.resource

    @property
    def entitlement(self) -> str:
        return self.request.entitlement

    def statement(self) -> dict[str, Any]:
        """What the grant key seals. Form 4 says for which server a vote was signed, form 3 in which session it was
        cast, form 2 names accounts."""
        form = 2 if self.request.account else 1
        form = 3 if any(vote.session for vote in self.votes) else form
        return {
            "type": f"weighthouse/grant/{4 if any(vote.audience for vote in self.votes) else form}",
            "grant": self.id,
            "request": self.request.content(),
            "votes": [_sealed(vote) for vote in self.votes],
            "not_before": self.not_before,
            "end": self.end,
            "policy_digest": self.policy_digest,
        }


def _sealed(vote: Vote) -> dict[str, Any]:
    said = {**vote.statement(), "kind": vote.kind, "signature": vote.signature}
    return {**said, "session": vote.session} if vote.session else said


GOVERNING: frozenset[str] = frozenset({"committee.hold", "committee.vote"})  # as policy names them, a test compares
HELD_ACTIONS: tuple[str, ...] = ("weights.export",)  # what a hold of the committee stops
IRREVERSIBLE: frozenset[str] = frozenset({"weights.destroy", "weights.destroy_model"})  # as policy, a test compares


def named_version(facts: Mapping[str, Any]) -> Any:
    """The version that an operation names, by which holds follow its lineage: one, or the newest of a whole model."""
    return facts.get("version") or facts.get("newest") or ""


# What only closes doors or only looks: a hold on a thing or on the lab must not keep security from acting.
STILL_OPEN: frozenset[str] = frozenset(
    {
        "audit.read", "catalogue.read", "committee.hold", "committee.vote", "evidence.read", "grant.revoke",
        "hold.place", "person.freeze", "run.stop", "session.end",
    }
)  # fmt: skip


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A stop on a resource, a version (`ver_…`), a class (`class:…`), an environment (`environment:…`), a person or
    the whole lab (`lab`). It follows what was made from its subject, whatever that is called. Without `actions` it
    stops a person from everything, asking and voting too, but seeing and giving back what is theirs; and on a thing
    everything that does not merely close or look, so that nobody is granted it either."""

    id: HoldId
    subject: str
    kind: HoldKind
    reason: str
    actions: tuple[str, ...]
    placed_by: str
    at: Millis
    lifted: Millis | None = None
    looked: tuple[str, ...] = ()
    """Who would lift a hold of the kind `log` already; it takes two."""

    def stops(self, action: str, resource: str, person: str, also: Container[str] = ()) -> bool:
        """Whether this hold stands against `action` on `resource` by `person`; `also` is what the resource belongs
        to and was made from."""
        if self.lifted is not None or (self.subject not in ("lab", resource, person) and self.subject not in also):
            return False
        if action in GOVERNING and self.subject != person:
            return False  # whoever may hold a thing, or the lab, does not so hold the committee
        if action in IRREVERSIBLE and self.subject != person:
            return True  # whatever a hold is about, what it is on must still be there when it is lifted
        if self.actions:
            return action in self.actions
        return self.subject == person or action not in STILL_OPEN


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """That an act is stopped, and by which hold: of several the one that was placed first. Empty where none alone is
    why, as when enough members have called for one."""

    hold: str = ""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has looked at what a hold of the log is about; `session` and `at` are empty in one from before they
    were kept."""

    person: str
    account: str
    session: str = ""
    at: Millis = 0


class HoldCall(msgspec.Struct, frozen=True, kw_only=True):
    """A member's call to hold a release. The chair's binds at once; another's needs a second member."""

    id: str = ""
    """What its line and the memory call it; a row is known by model, member and time."""
    model: str
    member: str
    reason: str = ""
    at: Millis


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """The line that a no must have in the log: kept with the no, until the log has it. `data` is the fact's own."""

    id: str
    kind: str
    data: dict[str, Any]
    at: Millis


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody was given something, from `start` until `end`; kept outside the database, so that what must stay
    apart from it, or may last only so long together with it, is judged though its row be hidden.

    `resource` is empty in lines of the first release, which kept only what a separation names."""

    grant: GrantId
    person: str
    entitlement: str
    start: Millis
    end: Millis
    resource: str = ""


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """A signed decision of the committee: the motion and the ballots on it, each signed by its member's device.

    `motion` is JSON-ready and must name `{"act": "lift", "hold": <id>}`; each ballot signs the canonical
    `{type: "weighthouse/ballot/2", audience, motion_digest, ballot, voter, device, at}`.
    """

    motion: dict[str, Any]
    ballots: tuple[AuthorityBallot, ...]


class AuthorityBallot(msgspec.Struct, frozen=True, kw_only=True):
    """One member's signed answer."""

    voter: str
    device: str
    at: Millis
    signature: str
    choice: str = "for"
    session: str = ""
    """The session that it was cast in; empty in one from before sessions were kept."""
    audience: str = ""
    """The server that it was given for; empty in one from before that was signed."""

    @property
    def member(self) -> str:
        """Whose answer it is, as the count asks."""
        return self.voter


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """An entitlement that would help, and by how much it gives too much. It is words only: nothing grants from it.

    `danger` counts what it gives beyond what was asked, by kind: what lets plaintext out, what changes the rules,
    what saves, what submits; `excess` counts all of it.
    """

    entitlement: str
    name: str
    excess: int
    danger: tuple[int, ...] = ()
    why: str
    slots: tuple[Slot, ...]
    max: Millis
    default: Millis
    broad: bool
    operation: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that a search found, best first."""

    resource: str
    name: str
    kind: str
    description: str
    cls: str
    environment: str
    tags: tuple[str, ...]
    score: int


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What the signed policy calls its people, teams and roles, each by id. Apart, since ids repeat across kinds."""

    people: dict[str, str]
    teams: dict[str, str]
    roles: dict[str, str]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What an approver sees, in plain words, and the statement that a signature must cover.

    `statement` lacks nothing but the choice: the signer sets `verdict` ("approve" or "deny") and `device`, encodes it
    canonically (RFC 8785) and signs those bytes. It is good for `expires`.
    """

    request: Request
    digest: str
    policy_digest: str
    lines: tuple[str, ...]
    unusual: tuple[str, ...]
    alternatives: tuple[Suggestion, ...]
    votes: tuple[Vote, ...]
    missing: tuple[str, ...]
    statement: dict[str, Any]
    expires: Millis
    can_vote: bool


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can reach a resource now: through which grant or standing entitlement, until when, why."""

    principal: str
    name: str
    via: str
    grant: GrantId | None
    actions: tuple[str, ...]
    until: Millis | None
    why: str
