"""Votes of whoever held a session that was not theirs. Guards grants from a thief's voice, and for good.

A vote remembers the session that it was cast in. When that was ended from elsewhere it counts no more, and neither
does any other vote of a person who said "this was not me", or who was frozen, until then: to suspend it by what its
voter is today would let a thaw, or keys that are restored, bring it back. That is asked at every use (`taken_back`);
here its consequence is written down, each vote with its line, and what rests on it ends unless others fill its seats.
The voter may vote anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weighthouse.access.api.facts import directory, terms_of
from weighthouse.access.api.grants import end_grant
from weighthouse.access.api.owing import close
from weighthouse.access.api.sealing import Sealed, open_grant, open_votes, vote_name
from weighthouse.access.api.taken_back import is_void_now
from weighthouse.access.events import VoteVoided
from weighthouse.access.model import VOID, Vote
from weighthouse.access.ports import Refusals
from weighthouse.access.rules.deciding import Counted, weigh
from weighthouse.access.store import grants as grant_rows
from weighthouse.access.store import requests as rows
from weighthouse.access.store.grants import StoredGrant
from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

ENDED = "a vote that gave it was cast by whoever held a session that was ended"
_FORGED = ("access.vote_row_differs", "access.vote_signature")
Concerns = Callable[[Vote], bool]


def void_session(unit: Unit, person: str, session: str, by: str) -> None:
    """Void the approvals that `person` gave in `session`, if that was ended from elsewhere.

    One without a session is from before they were kept, or has lost it to somebody with the database: it goes too.
    """
    if session and identity.ended_by_another(unit, session, person):
        refusals = unit.part(Refusals)
        unit.last_before_commit(lambda: refusals.close([session]))  # for rows that somebody hides from this turn
        _void(unit, person, by, lambda vote: vote.session in (session, ""))


def void_person(unit: Unit, person: str, until: Millis, by: str) -> None:
    """Void every approval that was given in the name of `person` until a moment."""
    _void(unit, person, by, lambda vote: vote.at <= until)


def without_void(unit: Unit, votes: Sequence[Counted]) -> list[Counted]:
    """Votes as they count in the moment in which they would make a grant. One that was hidden while its row should
    have been voided, or that no follower has come to yet, is told of now."""
    void = [one.problem in ("", VOID) and is_void_now(unit, one.vote) for one in votes]
    for one, gone in zip(votes, void, strict=True):
        if gone and not unit.part(Refusals).closed(vote_name(one.vote)):
            _say(unit, one.vote, "system")
    return [Counted(one.vote, VOID) if gone else one for one, gone in zip(votes, void, strict=True)]


def _void(unit: Unit, person: str, by: str, concerns: Concerns) -> None:
    """On open requests and under living grants; what is over needs none."""
    gone: set[str] = unit.memo.setdefault(("votes", "voided"), set())
    refusals = unit.part(Refusals)

    def judge(counted: Counted) -> bool:
        """Whether this vote is void now, or was: a kill in between may have left what rests on it."""
        vote = counted.vote
        if vote.voter != person or vote.verdict != "approve" or counted.problem in _FORGED:
            return False
        name, void = vote_name(vote), counted.problem == VOID or concerns(vote)
        if void and name not in gone and not refusals.closed(name):
            gone.add(name)
            _say(unit, vote, by)
        return void

    for counted in open_votes(unit, rows.open_votes_by(unit.conn, person, unit.now)):
        judge(counted)
    for row in grant_rows.all_running(unit.conn, unit.now, None):
        sealed = open_grant(unit, row)
        if sealed is None or refusals.closed(row.id):
            continue
        void = [judge(counted) for counted in sealed.votes]
        if any(void):
            _end(unit, row, sealed, void, by)


def _say(unit: Unit, vote: Vote, by: str) -> None:
    line = VoteVoided(request_id=vote.request, vote=vote_name(vote), voter=vote.voter, by=by)
    close(unit, [line.vote], line)
    audit.append(unit, line)


def _end(unit: Unit, row: StoredGrant, sealed: Sealed, void: list[bool], by: str) -> None:
    """End a grant for good, unless the votes that are left fill every seat."""
    request, bundle = sealed.grant.request, policy.current(unit)
    terms = terms_of(bundle.lab, request.entitlement, request.resource)
    left = [Counted(one.vote, VOID) if gone else one for one, gone in zip(sealed.votes, void, strict=True)]
    people = directory(unit, bundle, {one.vote.voter for one in left})
    if terms is None or not weigh(request, left, people, terms).complete:
        end_grant(unit, row, "revoked", by, ENDED)
