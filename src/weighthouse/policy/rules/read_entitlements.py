"""Entitlements and separations. Guards against an approval that was forgotten: none is a word that must be written.

Exactly one of `standing: true`, `approval: none` or `approval: {slot: {team, count}}` stands in each entitlement.
"""

from __future__ import annotations

from collections.abc import Collection

from weighthouse.core.clock import DAY, HOUR, Millis
from weighthouse.policy.model import ACTIONS, SHARED, Entitlement, Environment, Resource, Separation, Slot, Team
from weighthouse.policy.rules.check import Places
from weighthouse.policy.rules.fields import Fields, entries, nearest
from weighthouse.policy.rules.tree import Node, Place, refuse

_KNOWN = (
    "name", "description", "actions", "resources", "eligible", "environment", "standing", "approval", "duration",
    "broad", "operation",
)  # fmt: skip
MOST_SLOTS = 6


def read_entitlements(
    top: Fields,
    teams: dict[str, Team],
    environments: dict[str, Environment],
    resources: dict[str, Resource],
    places: Places,
) -> dict[str, Entitlement]:
    """Read the section `entitlements`."""
    found: dict[str, Entitlement] = {}
    for id_, node, place in top.section("entitlements"):
        fields = Fields(node, f"entitlement '{id_}'", _KNOWN)
        places["entitlement", id_] = place
        standing = fields.flag("standing", False)
        default, most, chain, pending = _durations(fields, standing)
        found[id_] = Entitlement(
            id=id_,
            name=fields.name("name", id_),
            description=fields.text("description", longest=1000),
            actions=frozenset(fields.names("actions", ACTIONS, "action", least=1)),
            resources=_patterns(fields, resources),
            eligible_teams=_eligible(fields, teams),
            environment=fields.reference("environment", {*environments, SHARED}, "environment"),
            standing=standing,
            requires=_approval(fields, teams, standing),
            default_duration=default,
            max_duration=most,
            longest_chain=chain,
            pending_window=pending,
            broad=fields.flag("broad", False),
            operation=fields.texts("operation", longest=40),
        )
    return found


def _patterns(fields: Fields, resources: dict[str, Resource]) -> tuple[str, ...]:
    found = fields.texts("resources", least=1)
    kinds = {resource.kind + "/*" for resource in resources.values() if resource.kind != resource.id}
    for pattern in found:
        prefixed = pattern.endswith("/*") and any(name.startswith(pattern[:-1]) for name in resources)
        if pattern != "*" and pattern not in resources and not prefixed:
            refuse(
                "policy.unknown_reference",
                fields.at("resources"),
                f"{fields.what}: '{pattern}' names no declared resource.",
                nearest(pattern, {*resources, *kinds}),
            )
    return found


def _eligible(fields: Fields, teams: dict[str, Team]) -> frozenset[str]:
    node = fields.node("eligible", "a list of teams, or the word everyone")
    if node.value == "everyone":
        return frozenset(teams)
    if not isinstance(node.value, list):
        refuse(
            "policy.wrong_value",
            node.place,
            f"'eligible' of {fields.what} should be a list of teams, or the word everyone, not {node.word}.",
            f"Write `eligible: [{node.value}]`." if str(node.value) in teams else nearest(str(node.value), teams),
        )
    return frozenset(fields.names("eligible", teams, "team", least=1))


def _durations(fields: Fields, standing: bool) -> tuple[Millis, Millis, Millis, Millis]:
    if standing:
        if fields.has("duration"):
            refuse("policy.contradiction", fields.at("duration"), f"{fields.what} is standing.", "Remove 'duration'.")
        return HOUR, HOUR, HOUR, DAY
    inner = Fields(
        fields.node("duration", "a mapping with default and longest"),
        f"'duration' of {fields.what}",
        ("default", "longest", "chain", "pending"),
    )
    most = inner.duration("longest", 90 * DAY)
    default = inner.duration("default", 90 * DAY)
    chain = inner.duration("chain", 180 * DAY, most)
    pending = inner.duration("pending", 14 * DAY, DAY)
    if not default <= most <= chain:
        refuse(
            "policy.absurd_duration",
            inner.place,
            f"{fields.what}: expected default <= longest <= chain.",
            "Order the three durations.",
        )
    return default, most, chain, pending


def _approval(fields: Fields, teams: Collection[str], standing: bool) -> tuple[Slot, ...]:
    if standing:
        if fields.has("approval"):
            refuse("policy.contradiction", fields.at("approval"), f"{fields.what} is standing.", "Remove 'approval'.")
        return ()
    if not fields.has("approval"):
        refuse(
            "policy.missing_field",
            fields.place,
            f"{fields.what} needs 'approval': a mapping of slots, or the word none.",
            "Add `approval: {steward: {team: …, count: 1}}`, or `approval: none` for low risk.",
        )
    node = fields.node("approval")
    if node.value == "none":
        return ()
    if not isinstance(node.value, dict):
        refuse(
            "policy.wrong_type",
            node.place,
            f"'approval' of {fields.what} should be a mapping of slots, or the word none, not {node.word}.",
            "Write `approval: {steward: {team: …, count: 1}}`, or `approval: none` for low risk.",
        )
    if not node.value:
        refuse(
            "policy.empty_quorum",
            fields.at("approval"),
            f"{fields.what} lists no slot.",
            "Write `approval: none` if meant.",
        )
    slots = tuple(_slot(id_, inner, place, fields.what, teams) for id_, inner, place in entries(node, "'approval'"))
    if len(slots) > MOST_SLOTS:
        refuse(
            "policy.too_many_slots",
            fields.at("approval"),
            f"{fields.what} has over {MOST_SLOTS} slots.",
            "Join some.",
        )
    return slots


def _slot(id_: str, node: Node, place: Place, what: str, teams: Collection[str]) -> Slot:
    fields = Fields(node, f"slot '{id_}' of {what}", ("team", "count"))
    return Slot(id_, fields.reference("team", teams, "team"), fields.integer("count", 1, 9, 1))


def read_separations(top: Fields, entitlements: dict[str, Entitlement], places: Places) -> tuple[Separation, ...]:
    """Read the section `separations`."""
    found: list[Separation] = []
    for id_, node, place in top.section("separations", required=False):
        fields = Fields(node, f"separation '{id_}'", ("name", "entitlements", "why"))
        places["separation", id_] = place
        found.append(
            Separation(
                id=id_,
                name=fields.name("name", id_),
                entitlements=frozenset(fields.names("entitlements", entitlements, "entitlement", least=2)),
                why=fields.text("why"),
            )
        )
    return tuple(found)
