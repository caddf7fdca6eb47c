"""Which way each field of a lab opens a door. Guards the word `WIDER` from being left off by forgetting.

Every field of every noun has a rule here. A field without one is treated as opening a door whichever way it moves, so
that a noun which grows a field is shown with too much alarm, never with too little; a test sees that none is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from weighthouse.policy.model import (
    Charter,
    EgressEntry,
    EgressProfile,
    Entitlement,
    Environment,
    Lab,
    Minimum,
    PersonEntry,
    QuorumRule,
    Resource,
    SeatEntry,
    SensitivityClass,
    Separation,
    Slot,
    Team,
)
from weighthouse.policy.rules.quantities import date_text, duration_text, size_text

Wider = Callable[[Any, Any], bool]


def always(_before: object, _after: object) -> bool:
    """Any change may open a door."""
    return True


def never(_before: object, _after: object) -> bool:
    """Words for readers: nothing is decided by them."""
    return False


def more(before: Any, after: Any) -> bool:
    """A larger value opens."""
    return bool(after > before)


def less(before: Any, after: Any) -> bool:
    """A smaller value opens."""
    return bool(after < before)


def switched_on(_before: object, after: object) -> bool:
    """On is open."""
    return bool(after)


def other_than(strict: str) -> Wider:
    """Everything but the strictest choice opens."""
    return lambda _before, after: bool(after != strict)


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A field compared as a whole: what it is called, which change of it opens, and how it is said."""

    word: str = ""
    wider: Wider = always
    said: Callable[[Any], str] | None = None


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """A list or set: which of gaining and losing a member opens. With `empty_is_any`, none is all."""

    word: str
    gains: bool = True
    loses: bool = False
    empty_is_any: bool = False
    said: Callable[[Any], str] | None = None


class Things(msgspec.Struct, frozen=True, kw_only=True):
    """Nouns of one kind, each found again by its key: which of adding and removing one opens."""

    word: str
    added: bool = True
    removed: bool = False
    key: Callable[[Any], str] = lambda one: str(one.id)


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    """One noun within another, perhaps absent. Its coming and its going both open."""

    word: str


Rule = Value | Members | Things | Inner


def account_text(pair: tuple[str, str]) -> str:
    return f"{pair[1]} at {pair[0]}"


def quorum_text(slots: tuple[Slot, ...]) -> str:
    """Say who approves, seat by seat."""
    seats = " and ".join(f"{slot.count} of {slot.team} as {slot.name}" for slot in slots)
    return f"approved by {seats}" if seats else "approved by nobody"


_NAME = Value(wider=never)
_SPAN, _LONGER = Value(said=duration_text), Value(wider=more, said=duration_text)
_BUDGET = Value(wider=more, said=size_text)

_COMMITTEE: dict[type, dict[str, Rule]] = {
    Charter: {
        "id": Value(), "name": Value(), "version": Value(), "seats": Things(word="seat of", removed=True,
        key=lambda one: str(one.person)), "quorums": Things(word="quorum rule", removed=True),
        "barred": Members(word="barred person", loses=True), "min_independent": Value(),
        "answer_within": Value(said=duration_text),
    },
    SeatEntry: {
        "person": Value(), "kind": Value(), "independent": Value(), "chair": Value(), "until": Value(said=date_text),
    },
    QuorumRule: {"id": Value(), "present": Value(), "approve": Value(), "independent": Value()},
}  # fmt: skip

_EGRESS: dict[type, dict[str, Rule]] = {
    EgressProfile: {
        "id": Value(), "name": _NAME, "total_budget_bytes": _BUDGET,
        "entries": Things(word="destination", key=lambda one: f"{one.host}:{one.port}"),
    },
    EgressEntry: {
        "host": Value(), "port": Value(), "owner": Value(), "reason": Value(wider=never), "kind": Value(),
        "address": Value(), "expires": Value(wider=more, said=date_text), "budget_bytes": _BUDGET,
    },
}  # fmt: skip

# A higher rank is no narrower: classes are compared by it, so raising one eases what another may become.
TABLE: dict[type, dict[str, Rule]] = {
    Lab: {
        "id": Value(), "name": _NAME,
        "environments": Things(word="environment", added=False), "classes": Things(word="class", added=False),
        "teams": Things(word="team", added=False), "people": Things(word="person"),
        "resources": Things(word="resource"), "entitlements": Things(word="entitlement"),
        "separations": Things(word="separation", added=False, removed=True),
        "egress_profiles": Things(word="egress profile"), "committee": Inner(word="committee"),
    },
    Environment: {"id": Value(), "name": _NAME, "description": _NAME},
    SensitivityClass: {
        "id": Value(), "name": _NAME, "rank": Value(), "max_grant": _LONGER, "assurance": Value(wider=less),
        "fresh": _LONGER, "vote_signature": Value(wider=other_than("device")),
        "sandbox": Value(wider=other_than("gvisor")), "read_budget_bytes": _BUDGET,
        "approvals": Inner(word="approvals"), "images": Members(word="image", empty_is_any=True),
        "outside_runs": Members(word="action outside of runs"),
    },
    Minimum: {"people": Value(wider=less), "teams": Value(wider=less)},
    PersonEntry: {
        "id": Value(), "name": Value(), "accounts": Members(word="account", said=account_text),
        "teams": Members(word="team"), "manager": Value(), "active": Value(wider=switched_on),
    },
    Team: {"id": Value(), "name": _NAME, "description": _NAME, "includes": Members(word="included team")},
    Resource: {
        "id": Value(), "name": _NAME, "kind": Value(), "description": _NAME, "cls": Value(word="class"),
        "environment": Value(), "owner_team": Value(word="owner"), "tags": Members(word="tag", gains=False),
        "size_bytes": Value(word="size", said=size_text),
    },
    Entitlement: {
        "id": Value(), "name": _NAME, "description": _NAME, "actions": Members(word="action"),
        "resources": Members(word="resource"), "eligible_teams": Members(word="eligible team"),
        "environment": Value(), "standing": Value(), "requires": Value(word="approval", said=quorum_text),
        "default_duration": _LONGER, "max_duration": _LONGER, "longest_chain": _LONGER,
        "pending_window": _LONGER, "broad": Value(),
        "operation": Members(word="pinned fact", gains=False, loses=True),
    },
    Slot: {"name": Value(), "team": Value(), "count": Value()},
    Separation: {
        "id": Value(), "name": _NAME, "why": _NAME,
        "entitlements": Members(word="entitlement", gains=False, loses=True),
    },
    **_EGRESS, **_COMMITTEE,
}  # fmt: skip


def rule_of(kind: type, field: str) -> Rule:
    """The rule for a field; one that nobody wrote a rule for opens a door however it changes."""
    found = (TABLE[each][field] for each in kind.__mro__ if field in TABLE.get(each, {}))
    return next(found, Value())
