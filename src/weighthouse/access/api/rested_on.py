"""What a published policy text rests on. Guards the rules from an approval that falls afterwards, where nobody looks.

A text is published once, under a grant that is used up by it, and no decision asks again who asked for it, approved
it, answered the committee's motion about it or published it. When one of these turns out to have been somebody else,
the text stays in force: to take it back by itself could be aimed, for whoever is found out in an approver's session
would so undo a text that closed something. So it is put on record, once for each publication, and people are told by
name; two of them read it, and put the former text back as any text is published.

It is asked at the line of the publication as well: what it rests on may have fallen while it was under way.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.access.api.foreign import ended, ender
from weighthouse.access.events import GrantStarted, PolicyPublished, PublicationFell, RequestSubmitted, VoteCast
from weighthouse.audit import api as audit
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

# Each kind of act that a text rests on, with the field that names its person.
_ACTS = {
    PolicyPublished.KIND: "by",
    RequestSubmitted.KIND: "principal",
    VoteCast.KIND: "voter",
    "governance.BallotCast": "member",
}
_BY_SESSION = {kind: audit.Lines(kind, by="session") for kind in _ACTS}
_BY_PERSON = {kind: audit.Lines(kind, by=by) for kind, by in _ACTS.items()}
_GRANTS = audit.Lines(GrantStarted.KIND, by="request_id")
_BY_GRANT = audit.Lines(PolicyPublished.KIND, by="grant")
_BY_MOTION = audit.Lines(PolicyPublished.KIND, by="motion")
_STARTED = audit.Lines(GrantStarted.KIND)
_BY_REQUEST = [audit.Lines(one) for one in (RequestSubmitted.KIND, VoteCast.KIND)]
_ANSWERS = audit.Lines("governance.BallotCast")
_FELL = audit.Lines(PublicationFell.KIND, by="version")


def tell_session(unit: Unit, person: str, session: str, by: str) -> None:
    """Tell of what was published on what `person` gave in `session`, if that was ended from elsewhere."""
    for kind, lines in _BY_SESSION.items():
        _tell(unit, person, kind, lines.of(unit, session) if session else (), by)


def tell_person(unit: Unit, person: str, until: Millis, by: str) -> None:
    """Tell of it where it was given in the name of `person` while a session that lived at that moment can have."""
    since = until - unit.system.settings.integer("identity.absolute_s") * SECOND
    for kind, lines in _BY_PERSON.items():
        start = lines.since(unit, since, person)
        _tell(unit, person, kind, [one for one in lines.of(unit, person, start=start) if one.at <= until], by)


def tell_late(unit: Unit, published: audit.Entry) -> None:
    """Tell of this publication if what it rests on had fallen by then."""
    for act in _below(unit, published):
        person = str(act.data[_ACTS[act.kind]])
        if ended(unit, person, act):
            _tell(unit, person, act.kind, [act], ender(unit, act))


def _below(unit: Unit, published: audit.Entry) -> list[audit.Entry]:
    """The acts that this publication rests on."""
    grant, motion = str(published.data["grant"]), str(published.data.get("motion", ""))
    begun = _STARTED.newest(unit, grant) if grant else None
    request = str(begun.data["request_id"]) if begun is not None else ""
    given = [one for lines in _BY_REQUEST for one in lines.of(unit, request, end=published.index)] if request else []
    return [published, *given, *(_ANSWERS.of(unit, motion, end=published.index) if motion else ())]


def _tell(unit: Unit, person: str, kind: str, lines: Iterable[audit.Entry], by: str) -> None:
    for line in lines:
        theirs = line.data[_ACTS[kind]] == person
        if theirs and identity.disowned(unit, person, str(line.data.get("session", "")), line.at):
            for published in _resting_on(unit, line):
                _say(unit, published, line, person, by)


def _resting_on(unit: Unit, act: audit.Entry) -> list[audit.Entry]:
    """The publications that this act helped to come about."""
    if act.kind == PolicyPublished.KIND:
        return [act]
    if act.kind == "governance.BallotCast":
        return _BY_MOTION.of(unit, str(act.data["motion"])) if act.data["choice"] != "against" else []
    if act.kind == VoteCast.KIND and act.data["verdict"] != "approve":
        return []
    grants = _GRANTS.of(unit, str(act.data["request_id"]))
    return [one for grant in grants for one in _BY_GRANT.of(unit, str(grant.data["grant"]))]


def _told(unit: Unit, version: int) -> bool:
    waiting = (one["version"] for one in audit.on_its_way(unit, PublicationFell.KIND))
    return _FELL.any(unit, str(version)) or version in waiting


def _say(unit: Unit, published: audit.Entry, act: audit.Entry, person: str, by: str) -> None:
    version = int(published.data["version"])
    if published.index < act.index or ("publication fell", version) in unit.memo or _told(unit, version):
        return
    unit.memo["publication fell", version] = True
    line = PublicationFell(
        version=version,
        digest=str(published.data["digest"]),
        previous=str(published.data["previous"]),
        published_by=str(published.data["by"]),
        fell=act.kind,
        person=person,
        session=str(act.data.get("session", "")),
        in_force=policy.current(unit).version == version,
        by=by,
    )
    audit.append(unit, line)
