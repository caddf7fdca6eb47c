"""What a session did lately, in words. Guards its owner from not seeing what they did not do.

Read from the log for showing alone; nothing is decided by it. Each kind of line has its own measure, and what was
refused the smallest, so that nobody pushes out what they did by being turned away. Sessions that are over are shown
too, ended or only idle: whoever signs out behind themselves, or just stops, stays in sight until the longest life of
the session is over, and for a week more if it gave something that may live on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weighthouse.audit import api as audit
from weighthouse.core import paging
from weighthouse.core.clock import DAY, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api import ends
from weighthouse.identity.api.devices import devices_of
from weighthouse.identity.api.sealing import unseal
from weighthouse.identity.api.sessions import live_ids
from weighthouse.identity.model import Session
from weighthouse.identity.rules.given import GIVEN
from weighthouse.identity.store import sessions as store

MOST = 5
MOST_REFUSED = 2
MOST_ELSEWHERE = 20
KEEP_SESSIONS: Millis = 7 * DAY
_Words = Callable[[Mapping[str, Any]], str]
_WORDS: dict[str, _Words] = {
    "identity.SessionStarted": lambda _: "Signed in.",
    "identity.SessionMoved": lambda data: f"Used from another place ({data.get('outcome', '')}).",
    "identity.StepUpDone": lambda _: "Gave a second factor.",
    "identity.ActConfirmed": lambda data: " ".join(str(act) for act in data.get("acts", ())),
}
_REFUSED: dict[str, _Words] = {
    "identity.ActUnconfirmed": lambda data: f"Refused, for want of a factor: {data.get('act')} {data.get('about')}.",
    "identity.CredentialRefused": lambda data: f"Presented wrongly: {data.get('code', '')}.",
}
_ELSEWHERE: dict[str, _Words] = {  # facts of any room, each of which names the session; all that last among them
    "identity.DeviceEnrolled": lambda data: f"Enrolled the key {data.get('thumbprint')}.",
    "identity.DeviceConfirmed": lambda data: f"Confirmed a key of {data.get('principal')}.",
    "identity.KeysRestored": lambda data: f"Let a key of {data.get('principal')} count again.",
    "identity.PersonThawed": lambda data: f"Thawed {data.get('principal')}.",
    "access.HoldLifted": lambda data: f"Lifted the hold on {data.get('held')}.",
    "access.HoldLookedAt": lambda data: f"Looked at what holds {data.get('held')}.",
    "access.PolicyPublished": lambda data: f"Published version {data.get('version')} of the policy.",
    "governance.BallotCast": lambda data: f"Answered {data.get('motion')}: {data.get('choice')}.",
    "access.RequestSubmitted": lambda data: f"Asked for {data.get('entitlement')} on {data.get('resource')}.",
    "access.VoteCast": lambda data: f"Voted on {data.get('request_id')}: {data.get('verdict')}.",
    "runs.RunSubmitted": lambda data: f"Submitted a run on {data.get('model')}.",
    "detect.AlertAcknowledged": lambda data: f"Acknowledged the alert {data.get('alert')}.",
    "weights.DestructionOrdered": lambda data: f"Ordered the destruction of {data.get('version')}.",
    "weights.ModelDestructionOrdered": lambda data: f"Ordered the destruction of all of {data.get('model')}.",
    "weights.ModelDestructionUndone": lambda data: f"Undid the order to destroy all of {data.get('model')}.",
    "weights.DestructionUndone": lambda data: f"Undid the order to destroy {data.get('version')}.",
    "weights.LoadStarted": lambda data: f"Was given keys of {data.get('version')} of {data.get('model')}.",
}
_LINES = {kind: audit.Lines(kind, by="session") for kind in _ELSEWHERE}


def lately(unit: Unit, session: str) -> list[tuple[Millis, str]]:
    """The newest things of each kind that the log tells of this session, newest first: when, and what."""
    found = [
        (one, words)
        for most, kinds in ((MOST, _WORDS), (MOST_REFUSED, _REFUSED))
        for kind, words in kinds.items()
        for one in audit.entries(unit, kind=kind, subject=session, newest_first=True, limit=most)
    ]
    doubt: list[tuple[Millis, str]] = []
    try:
        for kind, words in _ELSEWHERE.items():
            lines = _LINES[kind].of(unit, session, newest_first=True, limit=MOST_ELSEWHERE)
            found += [(one, words) for one in lines]
    except WeighthouseError:  # nobody is kept from ending a session by what is wrong with the log
        doubt = [(unit.now, "What else it did cannot be shown: the log is in doubt.")]
    found.sort(key=lambda told: -told[0].index)
    return doubt + [(one.at, words(one.data)) for one, words in found]


def ended_lately(unit: Unit, person: str) -> list[Session]:
    """A person's sessions that are over, ended or idle, the latest first: all whose longest life is not, and those
    of the last week that gave something. Each can still be ended from elsewhere, which takes back what it gave."""
    live = set(live_ids(unit, person))
    rows = store.of_person(unit.conn, person, since=unit.now - KEEP_SESSIONS)
    opened = (unseal(unit, "session", row.body, row.seal, Session) for row in rows if row.id not in live)
    mine = [one for one in opened if one is not None and one.person == person]
    over = [one for one in mine if unit.now < one.ends or _gave(unit, one.id)]
    return sorted(over, key=lambda one: -(one.ended or one.seen))


def ended_page(unit: Unit, person: str, limit: int, cursor: str | None) -> paging.Page[Session]:
    """A page of `ended_lately`, however many came between: nobody pushes a session out of sight by opening others."""
    found = ended_lately(unit, person)
    return paging.window(found, limit, "ended", lambda one: (-(one.ended or one.seen), one.id), cursor, (int, str))


def news(unit: Unit, person: str) -> list[tuple[Millis, str]]:
    """What somebody should know of their account without having looked for it, the newest first: when, and what.

    Sessions of the last week that somebody else ended, or that ended because they were used wrongly; and keys of the
    last day, with theirs or with anybody's hand. What only follows from their own next sign-in is no news.
    """
    ended = [
        (one.ended, f"A session of yours was ended: {one.ended_reason}.")
        for one in ended_lately(unit, person)
        if one.ended and (one.foreign or one.ended_by != person) and one.ended_reason not in ends.FOLLOWS
    ]
    keys = [
        (one.at, f"A new key signs for you: {one.name}.")
        for one in devices_of(unit, person)
        if unit.now - one.at < DAY
    ]
    recent = [one for one in (*ended, *keys) if unit.now - one[0] < KEEP_SESSIONS]
    return sorted(recent, key=lambda told: -told[0])


def _gave(unit: Unit, session: str) -> bool:
    try:
        return any(_LINES[kind].any(unit, session) for kind in GIVEN)
    except WeighthouseError:  # nobody is kept from ending a session by what is wrong with the log
        return True
