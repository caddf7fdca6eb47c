"""Checks across sections. Guards against a lab that reads well and means something nobody wanted.

An impossible quorum is refused now, not when somebody waits for it; a class's least approval binds every entitlement
that reaches its resources; one account is one person. What a committee must be is in `check_committee`.
"""

from __future__ import annotations

import unicodedata
from itertools import combinations

from weighthouse.policy.model import (
    IRREVERSIBLE,
    LAB_RESOURCE,
    RELEASING,
    SHARED,
    Entitlement,
    Lab,
    Resource,
    SensitivityClass,
    Slot,
)
from weighthouse.policy.rules.quantities import duration_text
from weighthouse.policy.rules.tree import Place, refuse

Places = dict[tuple[str, str], Place]


def check(lab: Lab, places: Places) -> None:
    """Raise Invalid(`policy.*`) at the first contradiction."""
    _accounts(lab, places)
    if LAB_RESOURCE not in lab.resources:
        place = next(iter(places.values()))
        refuse(
            "policy.missing_lab_resource",
            place.file,
            f"'resources' needs '{LAB_RESOURCE}', the resource of actions without a thing.",
            "Add `lab: {name: …, class: …, environment: shared, owner: …}` to 'resources'.",
        )
    for cls in lab.classes.values():
        _outside_runs(cls, places["outside_runs", cls.id])
    for resource in lab.resources.values():
        if resource.environment == SHARED and resource.kind == "model":
            refuse(
                "policy.shared_model",
                places["resource", resource.id],
                f"model '{resource.id}' may not be shared by all environments.",
                "Place it in one environment.",
            )
    members = {team: {person.id for person in lab.members(team)} for team in lab.teams}
    for entitlement in lab.entitlements.values():
        _entitlement(lab, entitlement, places["entitlement", entitlement.id])
        _irreversible(entitlement, places["entitlement", entitlement.id])
        _possible(lab, entitlement, members, places["entitlement", entitlement.id])


def check_nested(lab: Lab, places: Places) -> None:
    """Refuse a data set inside another: whoever is given the outer one reads the inner one, which has a class, an
    environment and holds of its own. Of texts that are kept the runner asks it."""
    datasets = {resource.id for resource in lab.resources.values() if resource.kind == "dataset"}
    for inner in sorted(datasets):
        parts = inner.split("/")
        outer = next((one for end in range(2, len(parts)) if (one := "/".join(parts[:end])) in datasets), None)
        if outer is not None:
            refuse(
                "policy.nested_dataset",
                places["resource", inner],
                f"data set '{inner}' lies inside '{outer}', so whoever is given that reads it, too.",
                f"Give it a folder and a name beside it, such as '{outer}-{parts[-1]}'.",
            )


def _outside_runs(cls: SensitivityClass, place: Place) -> None:
    """A person is in no sandbox and in no image, so a class that asks for one cannot also let them do without."""
    if not cls.outside_runs:
        return
    asks = f"asks for the {cls.sandbox} sandbox" if cls.sandbox != "any" else "lists 'images'" if cls.images else ""
    if asks:
        refuse(
            "policy.outside_runs",
            place,
            f"class '{cls.id}' {asks}, which nobody outside of a run is in, and yet allows "
            f"{' and '.join(cls.outside_runs)} outside of runs.",
            "Remove 'outside_runs' from this class.",
        )


def _accounts(lab: Lab, places: Places) -> None:
    owners: dict[tuple[str, str], str] = {}
    for person in lab.people.values():
        for issuer, subject in person.accounts:
            key = (_folded(issuer).rstrip("/"), _folded(subject))
            other = owners.setdefault(key, person.id)
            if other != person.id:
                refuse(
                    "policy.account_shared",
                    places["person", person.id],
                    f"account '{subject}' belongs to both '{other}' and '{person.id}'.",
                    "One account is one person; neither case, width of letters nor a slash makes it another.",
                )


def _folded(text: str) -> str:
    """What readers, and providers that are not strict, take for the same text."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def _entitlement(lab: Lab, entitlement: Entitlement, place: Place) -> None:
    covered = [resource for resource in lab.resources.values() if entitlement.covers(resource.id)]
    releasing = bool(entitlement.actions & RELEASING)
    if "*" in entitlement.resources and (releasing or not entitlement.standing):
        refuse(
            "policy.too_wide", place, f"entitlement '{entitlement.id}' covers '*'.", "Name resources, or a prefix."
        )
    for resource in covered:
        reaches = entitlement.reaches(resource)
        if resource.id in entitlement.resources and not reaches:
            refuse(
                "policy.environment_mismatch",
                place,
                f"entitlement '{entitlement.id}' of '{entitlement.environment}' names '{resource.id}' of "
                f"'{resource.environment}'.",
                "Grants never cross environments; make one entitlement for each.",
            )
        if reaches:
            _against_class(lab, entitlement, resource, releasing, place)


def _irreversible(entitlement: Entitlement, place: Place) -> None:
    """Nobody destroys alone, or something else than was approved, or by a right given for another act."""
    action = min(entitlement.actions & IRREVERSIBLE.keys(), default="")
    if not action:
        return
    pin = IRREVERSIBLE[action]
    lacks = (
        ["nothing beside it under 'actions'"] * (len(entitlement.actions) > 1)
        + [f"`operation: [{pin}]`"] * (entitlement.operation != (pin,))
        + ["`approval` by somebody else"] * (not entitlement.requires)
    )
    if lacks:
        refuse(
            "policy.lone_destroyer",
            place,
            f"entitlement '{entitlement.id}' gives {action}, which nothing brings back, and lacks: "
            f"{', '.join(lacks)}.",
            f"Write an entitlement of its own: `actions: [{action}]`, `operation: [{pin}]` and "
            "`approval: {steward: {team: …, count: 1}}`.",
        )


def _against_class(lab: Lab, entitlement: Entitlement, resource: Resource, releasing: bool, place: Place) -> None:
    cls = lab.classes[resource.cls]
    if not entitlement.standing and entitlement.max_duration > cls.max_grant:
        refuse(
            "policy.absurd_duration",
            place,
            f"entitlement '{entitlement.id}' allows {duration_text(entitlement.max_duration)}, but class "
            f"'{cls.id}' of '{resource.id}' at most {duration_text(cls.max_grant)}.",
            f"Write `longest: {duration_text(cls.max_grant)}` or less.",
        )
    people = sum(slot.count for slot in entitlement.requires)
    teams = _independent(lab, {slot.team for slot in entitlement.requires})
    if releasing and (people < cls.approvals.people or teams < cls.approvals.teams):
        refuse(
            "policy.weak_approval",
            place,
            f"entitlement '{entitlement.id}' asks {people} people of {teams} teams, but class '{cls.id}' of "
            f"'{resource.id}' asks {cls.approvals.people} of {cls.approvals.teams}.",
            "Add slots of other teams.",
        )


def _independent(lab: Lab, teams: set[str]) -> int:
    """How many of `teams` stand for themselves: one that includes another of them is no second team beside it."""
    return sum(not _includes_one(lab, team, teams - {team}) for team in teams)


def _includes_one(lab: Lab, team: str, others: set[str]) -> bool:
    stack, seen = list(lab.teams[team].includes), set()
    while stack:
        inner = stack.pop()
        if inner in others:
            return True
        if inner not in seen:
            seen.add(inner)
            stack.extend(lab.teams[inner].includes)
    return False


def _possible(lab: Lab, entitlement: Entitlement, members: dict[str, set[str]], place: Place) -> None:
    if not entitlement.requires:
        return
    involved = set().union(*(members[slot.team] for slot in entitlement.requires))
    asking = set().union(*(members[team] for team in entitlement.eligible_teams))
    for asker in ["", *sorted(asking & involved)]:
        short = shortage(entitlement.requires, members, without=asker)
        if short:
            who = f"when '{asker}' asks" if asker else "whoever asks"
            refuse(
                "policy.impossible_quorum",
                place,
                f"entitlement '{entitlement.id}' could never be approved {who}: {short}.",
                "Add members to the team, lower the count, or change who is eligible.",
            )


def shortage(slots: tuple[Slot, ...], members: dict[str, set[str]], *, without: str) -> str:
    """Say which slots cannot be filled by different people, or return an empty text (Hall's marriage theorem)."""
    for size in range(1, len(slots) + 1):
        for some in combinations(slots, size):
            able = set().union(*(members.get(slot.team, set()) for slot in some)) - {without}
            needed = sum(slot.count for slot in some)
            if len(able) < needed:
                names = " and ".join(f"'{slot.name}' ({slot.team})" for slot in some)
                return f"{names} need {needed} different active people and have {len(able)}"
    return ""
