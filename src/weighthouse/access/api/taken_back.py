"""Whether what was said in somebody's name was theirs. Guards votes and requests from whoever hides their rows.

A vote or a request of a session that was ended from elsewhere, or from before its person was frozen or said "this was
not me", counts for nothing. It is asked where it is used, never taken from what a follower found: a row that was
hidden while the follower walked, or a follower that stands, changes nothing. Only a yes is taken back: a no stays.
"""

from __future__ import annotations

from weighthouse.access.model import Request, Vote
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity


def is_void(unit: Unit, vote: Vote) -> bool:
    """Whether an approval is taken back, by the memory outside the database alone: for every decision."""
    return vote.verdict == "approve" and identity.disclaimed(unit, vote.voter, vote.session, vote.at)


def is_void_now(unit: Unit, vote: Vote) -> bool:
    """`is_void`, and by the log and the session's row besides: for the moment in which a vote makes a grant."""
    return vote.verdict == "approve" and _not_theirs(unit, vote.voter, vote.session, vote.at)


def is_foreign(unit: Unit, request: Request) -> bool:
    """Whether a request was somebody else's, by the memory alone: for whoever is shown it."""
    return identity.disclaimed(unit, request.person, request.session, request.created)


def is_foreign_now(unit: Unit, request: Request) -> bool:
    """`is_foreign`, by log and row besides: nothing of it may be approved or begun."""
    return _not_theirs(unit, request.person, request.session, request.created)


def _not_theirs(unit: Unit, person: str, session: str, at: int) -> bool:
    return identity.disowned(unit, person, session, at) or identity.disclaimed_in_log(unit, person, session, at)
