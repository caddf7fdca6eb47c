"""Seats of the committee that fall empty. Guards the committee from falling silent where nobody looks.

A member who is stopped, a term that ends, a quorum that nobody can reach any more: each is told once, the end of a
term a while ahead, too. Nothing is ended or held by these rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from weighthouse.core.clock import DAY, Millis
from weighthouse.detect.model import SEAT, Incident, Severity

KINDS = frozenset(
    {
        "identity.PersonFrozen",
        "access.HoldPlaced",
        "identity.SessionEnded",
        "identity.DeviceEnded",
        "identity.KeyFellBack",
    }
)
GOVERNING = frozenset({"committee.hold", "committee.vote"})
_VACANT = "Their seat in the committee stands empty meanwhile; the quorum is as large as before."

_MUTE = "Where new keys wait, and they have no other that counts, they vote on nothing until somebody confirms one."


def vacant(told: Incident) -> Incident:
    """Return the alert about a freeze with what it means for the committee: one freeze is one alert."""
    return msgspec.structs.replace(told, text=f"{told.text} {_VACANT}")


def stopped(index: int, at: Millis, kind: str, data: Mapping[str, Any]) -> tuple[str, Incident] | None:
    """Return the person and the incident if this fact stops somebody from acting: of seats, if they hold one.

    A freeze by a person and what detection itself answered with have their alerts already.
    """
    by = str(data.get("by", ""))
    person = str(data.get("held" if kind == "access.HoldPlaced" else "principal", ""))
    if kind == "identity.PersonFrozen" and by == "system":
        text = f"The record of a member was not the one that the server kept, so they are frozen. {_VACANT}"
        return person, _incident(f"frozen:{index}", "high", person, (index,), text)
    if kind == "access.HoldPlaced" and by != "system":
        actions = frozenset(data.get("actions", ()))
        if not actions or actions & GOVERNING:
            text = f"{by} placed a hold on a member of the committee. {_VACANT}"
            return person, _incident(f"held:{index}", "high", person, (index,), text)
    if kind == "identity.SessionEnded" and by not in (person, "system", "") and data.get("session"):
        text = f"{by} ended a session of a member of the committee. They may sign in again; a key that counts votes."
        return person, _incident(f"ended:{person}:{at // DAY}", "medium", person, (index,), text)
    if kind == "identity.DeviceEnded" and by not in (person, "system", ""):
        text = f"{by} ended a key of a member of the committee. {_MUTE}"
        return person, _incident(f"key:{index}", "high", person, (index,), text)
    if kind == "identity.KeyFellBack" and data.get("act") != "enrol":  # that key counts on
        text = f"A key of a member counts no more, with what {by} did in a session that was disowned since. {_MUTE}"
        return person, _incident(f"fell:{person}:{at // DAY}", "high", person, (index,), text)
    return None


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """The term of a member: its last `day` as the text spells it, the midnight that begins that day, and the moment
    after it."""

    person: str
    day: str
    until: Millis
    ends: Millis


def term(of: Term, now: Millis, ahead: Millis, stuck: Iterable[str]) -> Incident | None:
    """Return the incident of a term that has ended, or will within `ahead`; `stuck` are the classes of motions that
    nobody can carry once it has."""
    classes = ", ".join(stuck)
    lost = f" Nothing of these classes can be decided then: {classes}." if classes else ""
    remedy = "Renew `until`, or seat somebody else: that takes a motion of those who sit."
    if now >= of.ends:
        text = f"The term of a member ended with {of.day} (UTC), and the seat stands empty.{lost} {remedy}"
        return _incident(f"over:{of.person}:{of.until}", "high", of.person, (), text)
    if now >= of.ends - ahead:
        days = -(-(of.ends - now) // DAY)
        text = f"The term of a member ends with {of.day} (UTC), within {days} days.{lost} {remedy}"
        return _incident(f"ending:{of.person}:{of.until}", "high" if lost else "medium", of.person, (), text)
    return None


def left(person: str, base: str) -> Incident:
    """Return the incident of a member who is no active person of the lab any more."""
    text = "A member of the committee is no active person of the lab, and the seat stands empty. Seat somebody else."
    return _incident(f"left:{person}:{base}", "medium", person, (), text)


def undecided(empty: Iterable[str], stuck: Iterable[str], base: str) -> Incident:
    """Return the incident of a committee that can carry nothing of some classes."""
    names = ",".join(sorted(empty))
    text = (
        f"The committee cannot decide anything of these classes: {', '.join(stuck)}. Empty seats: {names or 'none'}."
    )
    return _incident(f"stuck:{base}:{names}", "high", "", (), text)


def _incident(key: str, severity: Severity, person: str, evidence: tuple[int, ...], text: str) -> Incident:
    return Incident(
        rule=SEAT,
        key=f"{SEAT}:{key}",
        severity=severity,
        principal=person,
        session="",
        evidence=evidence,
        text=text,
    )
