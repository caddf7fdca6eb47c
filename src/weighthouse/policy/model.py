"""The nouns of a lab's policy, frozen. Guards rules from half-read configuration: a `Lab` exists only whole.

Durations are milliseconds, sizes are bytes, dates are milliseconds of UTC at midnight. Every mapping is keyed by the
id that the configuration spells. `PersonEntry.teams` already holds the teams reached through included teams.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weighthouse.core.clock import DAY, HOUR, MINUTE, Millis

ACTIONS: tuple[str, ...] = (
    "audit.read",
    "catalogue.read",
    "committee.hold",
    "committee.vote",
    "egress.connect",
    "evidence.read",
    "grant.revoke",
    "hold.place",
    "person.freeze",
    "policy.publish",
    "redteam.run",
    "run.stop",
    "run.submit",
    "session.end",
    "weights.destroy",
    "weights.destroy_model",
    "weights.export",
    "weights.load",
    "weights.save",
)
# Actions that let something out, end it for good or change the rules themselves: a sensitive class never leaves them
# unapproved.
RELEASING: frozenset[str] = frozenset(
    {
        "egress.connect", "policy.publish", "run.submit", "weights.destroy", "weights.destroy_model",
        "weights.export", "weights.load", "weights.save",
    }
)  # fmt: skip
# What nothing brings back: by a grant for one named thing, which somebody else has approved, and under no hold. Each
# with what pins it: a version, or the newest version of a model, so that what goes is what its approvers saw.
IRREVERSIBLE: dict[str, str] = {"weights.destroy": "version", "weights.destroy_model": "newest"}
# What whoever has the other action may do as well, asked for by a name of its own: no lab file lists these. Names and
# shapes are opened by the server and no key leaves, so a person may see them without a run.
IMPLIED: dict[str, str] = {"weights.describe": "weights.load"}
# Keys in either direction: for runs, unless the class of the model lists them under `outside_runs`.
CONTENT: tuple[str, ...] = ("weights.load", "weights.save")
# What is done by a device key that counts: the same as Action::"keyed" of the rules.
KEYED: frozenset[str] = frozenset(
    {
        "run.submit", "weights.describe", "weights.destroy", "weights.destroy_model", "weights.export",
        "weights.load", "weights.save",
    }
)  # fmt: skip
# What the committee acts by. Nobody holds it back for a thing or for the lab: guards are not guarded by the guarded.
GOVERNING: frozenset[str] = frozenset({"committee.hold", "committee.vote"})
LAB_RESOURCE = "lab"
SHARED = "shared"
STEP_UP: frozenset[str] = frozenset({"policy.publish"})
STEP_UP_FRESH: Millis = 15 * MINUTE

VoteKind = Literal["device", "attested"]
Sandbox = Literal["gvisor", "any"]


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A thing with an id and a name that people read."""

    id: str
    name: str


class Environment(Named, frozen=True, kw_only=True):
    """A separated place of work; grants never cross from one to another."""

    description: str = ""


class Minimum(msgspec.Struct, frozen=True, kw_only=True):
    """The least approval a class accepts for a releasing action: distinct people, and distinct teams among them."""

    people: int = 0
    teams: int = 0


class SensitivityClass(Named, frozen=True, kw_only=True):
    """How sensitive a resource is. `fresh` is how old a second factor may be; a higher `rank` is more sensitive."""

    rank: int
    max_grant: Millis
    assurance: int
    fresh: Millis
    vote_signature: VoteKind
    sandbox: Sandbox
    read_budget_bytes: int
    approvals: Minimum = Minimum()
    images: tuple[str, ...] = ()
    """Digests of the environments that runs may use these resources in; empty means any."""
    outside_runs: tuple[str, ...] = ()
    """Those of CONTENT that a person may do outside of any run, where no sandbox holds anything; empty means none."""


class PersonEntry(Named, frozen=True, kw_only=True):
    """One human being, whatever accounts they have: `accounts` are (issuer, subject) pairs."""

    accounts: tuple[tuple[str, str], ...]
    teams: frozenset[str]
    manager: str = ""
    active: bool = True


class Team(Named, frozen=True, kw_only=True):
    """A team; members of the teams in `includes` are members too."""

    description: str = ""
    includes: tuple[str, ...] = ()


class Resource(Named, frozen=True, kw_only=True):
    """Something to guard. `cls` is its sensitivity class, `environment` where it lives (or `shared`)."""

    kind: str
    description: str = ""
    cls: str
    environment: str
    owner_team: str
    tags: tuple[str, ...] = ()
    size_bytes: int = 0


class Slot(msgspec.Struct, frozen=True):
    """A named seat at the table: `count` different members of `team` must fill it."""

    name: str
    team: str
    count: int = 1


class Entitlement(Named, frozen=True, kw_only=True):
    """What may be asked for. No `requires` means the text says `approval: none` or the entitlement is standing.

    `longest_chain` caps renewals without a break; `pending_window` is how long approvers have; `operation` names the
    facts that each request must pin down (which version, to where) and that each use must repeat.
    """

    description: str
    actions: frozenset[str]
    resources: tuple[str, ...]
    eligible_teams: frozenset[str]
    environment: str
    standing: bool = False
    requires: tuple[Slot, ...] = ()
    default_duration: Millis = HOUR
    max_duration: Millis = HOUR
    longest_chain: Millis = HOUR
    pending_window: Millis = 24 * HOUR
    broad: bool = False
    operation: tuple[str, ...] = ()

    def covers(self, resource: str) -> bool:
        """Whether `resource` is named here, outright, by a prefix such as `model/*`, or by `*`."""
        return any(
            pattern in (resource, "*") or (pattern.endswith("/*") and resource.startswith(pattern[:-1]))
            for pattern in self.resources
        )

    def reaches(self, resource: Resource) -> bool:
        """Whether this opens `resource`: it covers it and is of its environment. A shared entitlement reaches shared
        things only, unless it is standing. What is checked when a lab is read and what decides is this one rule."""
        if not self.covers(resource.id):
            return False
        if resource.environment in (SHARED, self.environment):
            return True
        return self.standing and self.environment == SHARED


class Separation(Named, frozen=True, kw_only=True):
    """Entitlements of which nobody may hold two at once, and why."""

    entitlements: frozenset[str]
    why: str


def day_end(day: Millis) -> Millis:
    """Return the moment at which a day that the text names is over, in UTC. Every such day is the last that counts:
    whoever writes "until the 31st" means to work on the 31st."""
    return day + DAY


class EgressEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One allowed destination. `expires` is the UTC midnight that begins its last day, in milliseconds; `address`
    pins a private link."""

    host: str
    port: int
    owner: str
    reason: str
    expires: Millis
    kind: Literal["internet", "private-link"]
    address: str | None = None
    budget_bytes: int

    @property
    def ends(self) -> Millis:
        """The first moment at which it is refused."""
        return day_end(self.expires)


class EgressProfile(Named, frozen=True, kw_only=True):
    """A named allow-list with a budget a day for each entry and for all together."""

    entries: tuple[EgressEntry, ...]
    total_budget_bytes: int


class SeatEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A seat of the committee. Directors and experts may vote; advisers and observers never do."""

    person: str
    kind: Literal["director", "expert", "adviser", "observer"]
    independent: bool
    chair: bool = False
    until: Millis | None = None
    """The last day of the term, as the UTC midnight that begins it, in milliseconds; None for a seat without one."""

    @property
    def voting(self) -> bool:
        return self.kind in ("director", "expert")

    @property
    def ends(self) -> Millis | None:
        """The first moment after the term."""
        return None if self.until is None else day_end(self.until)

    def sits(self, now: Millis) -> bool:
        """Whether the term has not ended."""
        return self.ends is None or now < self.ends


class QuorumRule(msgspec.Struct, frozen=True, kw_only=True):
    """A decision class of the committee: how many voting seats take part, how many say yes, how many independent."""

    id: str
    present: int
    approve: int
    independent: int


class Charter(Named, frozen=True, kw_only=True):
    """The committee's charter: seats, quorum rules, and people who may hold no voting seat (the executive)."""

    version: int
    seats: tuple[SeatEntry, ...]
    quorums: dict[str, QuorumRule]
    barred: tuple[str, ...] = ()
    min_independent: int = 1
    answer_within: Millis = 3 * DAY
    """How long members have to answer a motion before a quorum may close it without them."""


class Lab(Named, frozen=True, kw_only=True):
    """The whole configuration of one lab."""

    environments: dict[str, Environment]
    classes: dict[str, SensitivityClass]
    teams: dict[str, Team]
    people: dict[str, PersonEntry]
    resources: dict[str, Resource]
    entitlements: dict[str, Entitlement]
    separations: tuple[Separation, ...]
    egress_profiles: dict[str, EgressProfile]
    committee: Charter | None

    def members(self, team: str) -> list[PersonEntry]:
        """The active members of `team`, included teams among them, in the order of the text."""
        return [person for person in self.people.values() if person.active and team in person.teams]

    def person_of_account(self, issuer: str, subject: str) -> PersonEntry | None:
        """The one person who has this account; exact match only, so that no look-alike counts."""
        for person in self.people.values():
            if (issuer, subject) in person.accounts:
                return person
        return None


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A published lab: `digest` is over the text, `version` only rises, both are signed by the policy key."""

    digest: str
    version: int
    lab: Lab
    at: Millis
    published_by: str


class GrantFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one verified grant gives, for one question."""

    id: str
    person: str
    resource: str
    actions: frozenset[str]
    not_before: Millis
    end: Millis
    environment: str
    operation_matches: bool


class PrincipalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a person, or a workload on behalf of `person`."""

    kind: Literal["person", "workload"]
    id: str
    person: str
    teams: frozenset[str]
    active: bool
    bound: bool
    assurance_level: int
    assurance_age: Millis
    sandbox: str = ""
    environment: str = ""
    image: str = ""
    key: bool = False
    """Whether a person acts by a device key that counts, or a run was ordered where that was asked for."""


class ResourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about. An empty `cls` is a resource nobody has classified."""

    id: str
    kind: str
    environment: str
    cls: str
    assurance: int
    fresh: Millis
    sandbox: str
    images: frozenset[str] = frozenset()
    outside_runs: frozenset[str] = frozenset()
    signed: bool = True
    """Whether the class asks for signatures by device keys."""


class PolicyQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Every fact one decision needs, and nothing else: the same question always has the same verdict."""

    principal: PrincipalFacts
    action: str
    resource: ResourceFacts
    standing: frozenset[str]
    grant: GrantFacts | None
    held: bool
    now: Millis


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Cedar's answer: the ids of the rules that decided, and errors (any error means `allowed` is false)."""

    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...]
