"""The sessions in which somebody acted who had a key. Guards what they gave from outliving the key's end as stolen.

Attack: enrol a key in a stolen session, step back from the committee with it in its member's name, and sign out. Its
member ends the key, for that is what they see, and the session that gave the answer is none of those that it ends. So
who ends a key as not theirs alone disowns these, signed out or not: what is bound to it, what it signed in, and what
it was enrolled in. They are found in the log, for a row may be hidden just then; rows tell of those from before the
log named keys.

A key that falls with whoever vouched for it was nobody's either, from then on, and takes along the same. So there is
one function for both, `never_theirs` in `devices`, and it asks the log what the key was: its own row may be hidden.

It reaches back to a moment, a week unless another is named: as far as a session that is over is shown. An old laptop
that is ended as lost undoes no years of honest work, and one that its owner retires undoes nothing.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core import ids
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import Invalid, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api import ends
from weighthouse.identity.api.redoing import unread
from weighthouse.identity.api.sealing import memory, unseal
from weighthouse.identity.api.weeks import WEEK
from weighthouse.identity.events import DeviceEnded, DeviceEnrolled, OpeningSigned, SessionStarted
from weighthouse.identity.model import Device, Session
from weighthouse.identity.store import sessions as store

# Kinds of any room whose line names the key that signed, with the field that names its person.
SIGNED = {OpeningSigned.KIND: "principal", "access.VoteCast": "voter", "governance.BallotCast": "member"}
_BY_DEVICE = {kind: audit.Lines(kind, by="device") for kind in SIGNED}
# What is given without a signature, and by a key that counts or in whoever's name has it.
_GIVEN = ("access.PolicyPublished", "runs.RunSubmitted", "weights.DestructionOrdered")
_IN_SESSION = [audit.Lines(kind, by="session") for kind in _GIVEN]
_BEGUN = audit.Lines(SessionStarted.KIND, by="key")
_ENROLLED, _MARKED = audit.Lines(DeviceEnrolled.KIND), audit.Lines(DeviceEnrolled.KIND, by="thumbprint")
_OVER = audit.Lines(DeviceEnded.KIND, by="key")


class EnrolledKey(msgspec.Struct, frozen=True, kw_only=True):
    """A device as the line of its enrolment names it, whatever became of its row."""

    id: str
    person: str
    thumbprint: str
    at: Millis
    session: str = ""


def key_told(unit: Unit, person: str, device_id: str) -> EnrolledKey | None:
    """The key that `person` enrolled as this device, by the log; None if that does not tell of it."""
    try:
        lines = _ENROLLED.of(unit, device_id)
    except WeighthouseError:  # as below
        unread(unit, person)
        return None
    return next((enrolled_by(one) for one in lines if one.data["principal"] == person), None)


def was_enrolled(unit: Unit, mark: str) -> bool:
    """Whether a key is or was anybody's, whatever became of its row: by the memory outside the database, or by the
    lines of its enrolment and its end. Raises as the log does where that is in doubt."""
    if memory(unit.system).version(ends.key_name(mark)) > 0 or _MARKED.any(unit, mark) or _OVER.any(unit, mark):
        return True
    return any(one["thumbprint"] == mark for one in audit.on_its_way(unit, DeviceEnrolled.KIND))


def enrolled_as(unit: Unit, mark: str) -> frozenset[str]:
    """As which devices a key was enrolled, by the log; as one that nobody has where that is in doubt."""
    try:
        return frozenset(one.subject for one in _MARKED.of(unit, mark))
    except WeighthouseError:
        return frozenset({""})


def enrolled_by(line: audit.Entry) -> EnrolledKey:
    """The key that this line of its enrolment tells of."""
    person, mark, session = (str(line.data.get(one, "")) for one in ("principal", "thumbprint", "session"))
    return EnrolledKey(id=line.subject, person=person, thumbprint=mark, at=line.at, session=session)


def from_when(unit: Unit, since: Millis | None, *, ended: Millis | None = None) -> Millis:
    """From when on what was done with a key is disowned: as named, or for a week until it was first `ended`, for
    afterwards it did nothing. Raises `identity.since_ahead`."""
    if since is None:
        return max(0, (unit.sure if ended is None else min(unit.sure, ended)) - WEEK)
    if since > unit.now:
        raise Invalid(
            "identity.since_ahead",
            "What was done with a key is taken back from a moment on that is over.",
            "Name when it was last in your hands, or no moment at all: then it is a week.",
        )
    return since


def sessions_with(unit: Unit, device: Device | EnrolledKey, since: Millis) -> frozenset[str]:
    """The sessions of a device's person that lived at `since` or later and were of whoever had its key."""
    found = _bound(unit, device, since) | signed_in(unit, device, since)
    return frozenset(one for one in found if ids.is_id(one, "ses"))  # what never was one keeps no key from its end


def signed_in(unit: Unit, device: Device | EnrolledKey, since: Millis) -> frozenset[str]:
    """Those in which it signed something since, or was enrolled: whatever they are bound to."""
    lines = (
        one
        for kind, person in SIGNED.items()
        for one in _since(unit, _BY_DEVICE[kind], since, device.id, device.person)
        if one.data[person] == device.person
    )
    enrolled = device.session if device.at >= since else ""
    return frozenset({str(one.data.get("session", "")) for one in lines} | {enrolled}) - {""}


def done_with(unit: Unit, key: EnrolledKey) -> list[audit.Entry]:
    """The lines of all that was given with a key that lasts: signed by it, or in a session that is bound to it."""
    found = [
        one for kind, person in SIGNED.items() for one in _BY_DEVICE[kind].of(unit, key.id) if _by(one, person, key)
    ]
    for begun in _BEGUN.of(unit, key.thumbprint):
        if begun.data["principal"] == key.person:
            found += [one for lines in _IN_SESSION for one in lines.of(unit, begun.subject)]
    return [one for one in found if ids.is_id(str(one.data.get("session", "")), "ses")]


def _by(line: audit.Entry, person: str, key: EnrolledKey) -> bool:
    return bool(line.data[person] == key.person)


def _bound(unit: Unit, device: Device | EnrolledKey, since: Millis) -> frozenset[str]:
    longest = unit.system.settings.integer("identity.absolute_s") * SECOND
    lines = _since(unit, _BEGUN, max(0, since - longest), device.thumbprint, device.person)
    told = {one.subject for one in lines if one.data["principal"] == device.person}
    rows = store.of_person(unit.conn, device.person, since=since)
    opened = (unseal(unit, "session", row.body, row.seal, Session) for row in rows)
    found = {one.id for one in opened if one is not None and _of(one, device)}
    return frozenset(one for one in told | found if not _over_before(unit, one, since))


def _since(unit: Unit, lines: audit.Lines, since: Millis, value: str, person: str) -> list[audit.Entry]:
    try:
        return lines.of(unit, value, start=lines.since(unit, since, value))
    except WeighthouseError:  # nobody is kept from ending a key by what is wrong with the log
        unread(unit, person)
        return []


def _of(session: Session, device: Device | EnrolledKey) -> bool:
    return session.person == device.person and session.key == device.thumbprint


def _over_before(unit: Unit, session: str, since: Millis) -> bool:
    """Whether a session was over by then, as it is known here; of one that nobody can tell, it was not."""
    end = ends.recalled(memory(unit.system), session)
    if end is not None:
        return end.at < since
    rows = store.by_ids(unit.conn, [session])
    found = unseal(unit, "session", rows[0].body, rows[0].seal, Session) if rows else None
    return found is not None and found.ended is not None and found.ended < since
