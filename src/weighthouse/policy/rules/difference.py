"""What a new lab changes, in plain words. Guards approvers of a policy text from approving what they did not read.

Lines are sorted by weight: what opens a door or weakens an approval comes first and begins with `WIDER`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from weighthouse.policy.model import Entitlement, Lab, PersonEntry, SensitivityClass
from weighthouse.policy.rules.quantities import duration_text

_SECTIONS = (
    ("environment", "environments"),
    ("class", "classes"),
    ("team", "teams"),
    ("person", "people"),
    ("resource", "resources"),
    ("entitlement", "entitlements"),
    ("egress profile", "egress_profiles"),
)


def difference(old: Lab, new: Lab) -> list[str]:
    """Return one sentence for each thing that was added, removed or changed; wider ones first."""
    lines: list[str] = []
    for word, section in _SECTIONS:
        before: Mapping[str, Any] = getattr(old, section)
        after: Mapping[str, Any] = getattr(new, section)
        for id_ in sorted(before.keys() | after.keys()):
            lines.extend(_one(word, id_, before.get(id_), after.get(id_)))
    was = {separation.id: separation for separation in old.separations}
    now = {separation.id: separation for separation in new.separations}
    for id_ in sorted(was.keys() | now.keys()):
        if was.get(id_) != now.get(id_):
            verb = "added" if id_ not in was else "WIDER: removed" if id_ not in now else "WIDER: changed"
            lines.append(f"{verb} separation '{id_}'.")
    if old.committee != new.committee:
        lines.append("WIDER: the committee's charter changed.")
    return sorted(dict.fromkeys(_front(line) for line in lines), key=lambda line: not line.startswith("WIDER"))


def _front(line: str) -> str:
    return line if line.startswith("WIDER") else line[0].upper() + line[1:]


def _one(word: str, id_: str, before: object, after: object) -> list[str]:
    if before == after:
        return []
    if before is None:
        wide = "WIDER: " if word in ("entitlement", "egress profile", "person") else ""
        return [f"{wide}added {word} '{id_}'{_summary(after)}."]
    if after is None:
        return [f"removed {word} '{id_}'."]
    if isinstance(before, Entitlement) and isinstance(after, Entitlement):
        return _entitlement(before, after)
    if isinstance(before, PersonEntry) and isinstance(after, PersonEntry):
        return _person(before, after)
    if isinstance(before, SensitivityClass) and isinstance(after, SensitivityClass):
        return _class(before, after)
    return [f"{'WIDER: ' if word != 'environment' else ''}changed {word} '{id_}': {_fields(before, after)}."]


def _summary(thing: object) -> str:
    if isinstance(thing, Entitlement):
        return f" with {', '.join(sorted(thing.actions))} on {', '.join(thing.resources)}, {_quorum(thing)}"
    if isinstance(thing, PersonEntry):
        return f" in {', '.join(sorted(thing.teams)) or 'no team'}"
    return ""


def _quorum(entitlement: Entitlement) -> str:
    if entitlement.standing:
        return "standing"
    if not entitlement.requires:
        return "no approval"
    return "approved by " + " and ".join(f"{slot.count} of {slot.team}" for slot in entitlement.requires)


def _entitlement(before: Entitlement, after: Entitlement) -> list[str]:
    lines: list[str] = []
    label = f"entitlement '{after.id}'"
    for word, was, now in (
        ("action", before.actions, after.actions),
        ("resource", frozenset(before.resources), frozenset(after.resources)),
        ("eligible team", before.eligible_teams, after.eligible_teams),
    ):
        lines += [f"WIDER: {label} gains {word} '{name}'." for name in sorted(now - was)]
        lines += [f"{label} loses {word} '{name}'." for name in sorted(was - now)]
    if _quorum(before) != _quorum(after):
        lines.append(f"WIDER: {label} was {_quorum(before)}, becomes {_quorum(after)}.")
    if before.max_duration != after.max_duration:
        wide = "WIDER: " if after.max_duration > before.max_duration else ""
        was_text, now_text = duration_text(before.max_duration), duration_text(after.max_duration)
        lines.append(f"{wide}{label} lasts at most {now_text} instead of {was_text}.")
    return lines or [f"changed {label}: {_fields(before, after)}."]


def _person(before: PersonEntry, after: PersonEntry) -> list[str]:
    lines = [f"WIDER: person '{after.id}' joins team '{team}'." for team in sorted(after.teams - before.teams)]
    lines += [f"person '{after.id}' leaves team '{team}'." for team in sorted(before.teams - after.teams)]
    if before.accounts != after.accounts:
        lines.append(f"WIDER: the accounts of person '{after.id}' change.")
    if before.active != after.active:
        lines.append(
            f"{'WIDER: ' if after.active else ''}person '{after.id}' is {'' if after.active else 'not '}active."
        )
    return lines or [f"changed person '{after.id}': {_fields(before, after)}."]


def _class(before: SensitivityClass, after: SensitivityClass) -> list[str]:
    weaker = (
        after.max_grant > before.max_grant
        or after.assurance < before.assurance
        or after.fresh > before.fresh
        or after.approvals.people < before.approvals.people
        or after.approvals.teams < before.approvals.teams
        or (before.vote_signature == "device" and after.vote_signature == "attested")
        or (before.sandbox == "gvisor" and after.sandbox == "any")
        or after.read_budget_bytes > before.read_budget_bytes
        or after.rank < before.rank
        or (bool(before.images) and not set(after.images) <= set(before.images))
        or (bool(before.images) and not after.images)
    )
    return [f"{'WIDER: ' if weaker else ''}changed class '{after.id}': {_fields(before, after)}."]


def _fields(before: object, after: object) -> str:
    assert isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct)
    names = [name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    return ", ".join(names)
