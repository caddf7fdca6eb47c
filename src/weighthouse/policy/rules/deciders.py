"""Who decides in a lab, and what of a text changes that. Guards the committee from a second way to the same power.

A text that changes who sits, what a quorum takes, who those people are, by what right they act or who approves the
next text takes a motion of the seats that were there before. More is named here than strictly decides: a change that
needs no motion must touch nothing that a seat rests on.
"""

from __future__ import annotations

from typing import Any

import msgspec

from weighthouse.policy.model import GOVERNING, LAB_RESOURCE, RELEASING, STEP_UP_FRESH, Charter, Entitlement, Lab
from weighthouse.policy.rules.quorum import CLASSES, said, seating

_WORDS = frozenset({"name", "description", "manager", "tags"})
"""Words for readers, and a field that nothing is decided by."""
_MOST = 1_000
_DECIDING = GOVERNING | {"policy.publish"}


def who_decides(before: Lab, after: Lab) -> list[str]:
    """Return in words what of `after` changes who decides in `before`; empty if nothing does, or nobody sat."""
    if before.committee is None:
        return []
    if after.committee is None:
        return ["the committee goes"]
    return [
        *_charter(before.committee, after.committee),
        *_people(before, after),
        *_rights(before, after),
        *_reach(before, after),
        *_say(before, after),
    ]


def takes(before: Lab, after: Lab) -> list[str]:
    """Return in words what each kind of decision took and takes, where that changes: seats and terms as written."""
    if before.committee is None or after.committee is None:
        return []
    was, now = (seating(lab.committee, lab.people, 0) for lab in (before, after) if lab.committee is not None)
    pairs = ((cls, said(was, cls), said(now, cls)) for cls in CLASSES)
    return [f"a motion of the class {cls} took {old}; it takes {new}" for cls, old, new in pairs if old != new]


def _charter(before: Charter, after: Charter) -> list[str]:
    had, has = ({seat.person: seat for seat in one.seats} for one in (before, after))
    told = [f"the seat of '{person}' goes" for person in sorted(had.keys() - has.keys())]
    told += [f"'{person}' gets a seat" for person in sorted(has.keys() - had.keys())]
    told += [f"the seat of '{one}' changes" for one in sorted(had.keys() & has.keys()) if had[one] != has[one]]
    for name in sorted(before.quorums.keys() | after.quorums.keys()):
        if before.quorums.get(name) != after.quorums.get(name):
            told.append(f"the quorum '{name}' changes")
    for field in ("version", "min_independent", "answer_within"):
        if getattr(before, field) != getattr(after, field):
            told.append(f"'{field}' of the committee changes")
    if frozenset(before.barred) != frozenset(after.barred):
        told.append("who is barred from a seat changes")
    return told


def _circle(lab: Lab) -> frozenset[str]:
    """Everybody who holds a seat, or is in a team whose members act for the committee."""
    seated = {seat.person for seat in lab.committee.seats} if lab.committee is not None else set()
    return frozenset(seated | {one.id for one in lab.people.values() if one.teams & committee_teams(lab)})


def committee_teams(lab: Lab) -> frozenset[str]:
    """The teams whose members may vote in the committee or hold a release, as far as the entitlements go."""
    governing = [one for one in lab.entitlements.values() if one.actions & GOVERNING]
    return frozenset(team for one in governing for team in one.eligible_teams)


def _people(before: Lab, after: Lab) -> list[str]:
    told = []
    for person in sorted(_circle(before) | _circle(after)):
        was, now = before.people.get(person), after.people.get(person)
        if was is None or now is None:
            told.append(f"'{person}' of the committee {'comes' if was is None else 'goes'}")
            continue
        acts = committee_teams(before) | committee_teams(after)
        if (was.name, was.active, sorted(was.accounts), was.teams & acts) != (
            now.name, now.active, sorted(now.accounts), now.teams & acts,
        ):  # fmt: skip
            told.append(f"'{person}' of the committee changes")
    return told


def _rights(before: Lab, after: Lab) -> list[str]:
    told = []
    for name in sorted(before.entitlements.keys() | after.entitlements.keys()):
        was, now = before.entitlements.get(name), after.entitlements.get(name)
        if any(one is not None and one.actions & _DECIDING for one in (was, now)) and _plain(was) != _plain(now):
            told.append(f"the entitlement '{name}', by which the committee acts or policy is approved, changes")
    return told


def _say(before: Lab, after: Lab) -> list[str]:
    """Where members approve what leaves or changes a thing, another way to it without as many of them is none."""
    told = []
    for name in sorted(before.resources.keys() & after.resources.keys()):
        for action in sorted(RELEASING):
            had = _members_asked(before, name, action)
            if had != _MOST and _members_asked(after, name, action) < had:
                told.append(f"fewer of the committee approve {action} on '{name}'")
    return told


def _members_asked(lab: Lab, name: str, action: str) -> int:
    """How many members of the committee at least approve this action on this thing; all of them if nobody gets it."""
    teams, thing = committee_teams(lab), lab.resources[name]
    ways = (one for one in lab.entitlements.values() if action in one.actions and one.reaches(thing))
    asked = (sum(slot.count for slot in one.requires if slot.team in teams) for one in ways)
    return min(asked, default=_MOST)


def _plain(entitlement: Entitlement | None) -> Any:
    """All of an entitlement but its words."""
    if entitlement is None:
        return None
    return {name: value for name, value in _fields(entitlement).items() if name not in _WORDS}


def _fields(noun: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(noun, name) for name in noun.__struct_fields__}


def _reach(before: Lab, after: Lab) -> list[str]:
    """A class that asks more than a member can give silences them; so may the place of the thing that they act on."""
    told = []
    for name in sorted(before.resources.keys() & after.resources.keys()):
        was, now = (_acting(lab, name) for lab in (before, after))
        if (name == LAB_RESOURCE or before.resources[name].kind == "model") and was != now:
            told.append(f"what acting on '{name}' takes changes with its class or place")
    return told


def _acting(lab: Lab, name: str) -> tuple[object, ...]:
    """What of a thing's class and place bears on the acts of members. Their acts take a second factor of the last
    quarter of an hour anyway; of the lab itself, how the next text is approved bears on them, too."""
    thing = lab.resources[name]
    cls = lab.classes.get(thing.cls)
    if cls is None:
        return ()
    fresh = min(cls.fresh, STEP_UP_FRESH) if cls.assurance > 1 else STEP_UP_FRESH
    return (fresh, thing.environment, cls.vote_signature, cls.approvals) if name == LAB_RESOURCE else (fresh,)
