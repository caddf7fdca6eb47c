"""Why a session is over, kept outside the database with the end itself. Guards honest ends from passing for thefts.

Attack, or mishap: the COMMIT of a sign-out is lost. The memory outside says that the session is over and its row says
nothing of it, which is also how a row looks that was put back after somebody else's end. So the memory keeps by whose
hand it ended and whether that says something against it; of the reason only words of this program, never a person's.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit.api import Entry
from weighthouse.core.clock import Millis
from weighthouse.core.work import Unit
from weighthouse.identity.api import moments
from weighthouse.identity.events import SessionUsedElsewhere
from weighthouse.identity.ports import Memory

SIGNED_OUT = "signed out"
ANEW = "signed in anew"
CROWDED = "too many sessions"  # which says nothing against a session
KEY_ENDED = "its key was ended"
KEY_RETIRED = "its key was retired"
KEY_FELL = "its key fell with what it rested on"
NOT_ME = "this was not me"
ALIKE = "of the same key or browser as one that was ended"
ACCOUNT_GONE = "account no longer theirs"
ACCOUNT = "its account was taken from its person"
ELSEWHERE = "used elsewhere"
UNKNOWN = "It was over, and nobody knows why any more."
UNSAID = "It was ended on another server, or before; its reason stands in the log."
LOST = "Its change could not be committed; the end stands."
_WORDS = frozenset(
    {SIGNED_OUT, ANEW, CROWDED, KEY_ENDED, KEY_RETIRED, KEY_FELL, NOT_ME, ALIKE, ACCOUNT, ELSEWHERE, UNKNOWN, UNSAID}
)
FOLLOWS = (CROWDED, ANEW, ACCOUNT, ACCOUNT_GONE)
"""Ends that only follow from another change, so that they are none where that is refused."""
ALONE = (ALIKE, KEY_FELL)
"""Ends that take along no other session of the browser: that a key fell says nothing against it."""
DECIDING = frozenset({*FOLLOWS, *ALONE, KEY_ENDED, NOT_ME})
"""The reasons on which it depends what an end takes along. No person's words are one of them (`typed`)."""
FOREIGN, OWN = "foreign", "own"
_HELD = frozenset({"browser"})
"""What a session was presented without by somebody who holds all its secrets: a mark, but another kind of browser."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a session ended. `changed` is what it was presented without, where that ended it."""

    session: str
    by: str
    reason: str
    foreign: bool
    at: Millis
    changed: str = ""

    @property
    def whose(self) -> str:
        return FOREIGN if self.foreign else OWN

    @property
    def distrusted(self) -> bool:
        """Whether its key or browser is no known one any more. Crowding, and its own hand, say nothing against it."""
        return self.foreign or (self.by == "system" and self.reason != CROWDED)


def remember(kept: Memory, end: End, until: Millis, unit: Unit | None = None) -> None:
    """Remember an end with its reason; the reason first, so that no kill leaves the end alone. `unit` is the one that
    says it."""
    if unit is not None:
        moments.said(unit).add(end.session)
    known = recalled(kept, end.session) if kept.condemned(end.session) else None
    if known is not None and (known.foreign or not end.foreign):
        return  # as when the log is read in which this server told of it
    reason = end.reason if end.reason in _WORDS else LOST
    kept.condemn(f"ended {end.session} {end.whose} {end.at} {end.by} {reason}|{end.changed}", until)
    kept.condemn(end.session, until)


def recalled(kept: Memory, session: str) -> End | None:
    """How a session ended, as it is remembered here; if more than once, that of another hand before its own."""
    begins = f"ended {session} "
    found = [_read(one) for one in kept.all_condemned() if one.startswith(begins)]
    return next((end for end in found if end.foreign), found[0] if found else None)


def _read(kept: str) -> End:
    _, session, whose, at, by, rest = kept.split(" ", 5)
    reason, _, changed = rest.partition("|")
    return End(session=session, by=by, reason=reason, foreign=whose == FOREIGN, at=int(at), changed=changed)


def another(kept: Memory, session: str) -> bool:
    """Whether a session is over by what is remembered here, and not known to have ended by its own hand."""
    if not kept.condemned(session):
        return False
    end = recalled(kept, session)
    return end is None or end.foreign


def elsewhere(session: str, changed: str, at: Millis) -> End:
    """The end of a session that was presented without what it is bound to.

    Whoever has a token without its key, or a cookie without its browser's mark, has done nothing in the session, for
    nothing is answered without them. So nothing that was done in it is taken back: reading a line of a proxy's log
    must not stop a lab's work.
    """
    return End(session=session, by="system", reason=ELSEWHERE, foreign=changed in _HELD, at=at, changed=changed)


def told(entry: Entry) -> End:
    """The end that a line tells of, on whatever server. A line of before `whose` was told leaves in doubt a session
    that its person ended: it may have been from another one, so that alone says nothing against it."""
    data, session = entry.data, entry.subject
    if entry.kind == SessionUsedElsewhere.KIND:
        return elsewhere(session, str(data["changed"]), entry.at)
    by, whose = str(data["by"]), str(data.get("whose", ""))
    foreign = whose == FOREIGN if whose else by != data["principal"]
    return End(session=session, by=by, reason=UNSAID, foreign=foreign, at=entry.at)


def key_name(mark: str) -> str:
    """What the memory outside the database calls a key that was enrolled and has ended, by its thumbprint."""
    return f"ended key {mark}"
