"""Whether a stored grant stands now. Guards every release from a grant that was minted, moved, stretched or revived.

In this order: the seal, the row against the sealed statement, ends that are remembered outside the database, whether
its person has said since that it was not them who asked, each vote's signature, the people behind the votes as they
are today, today's policy, and what must be kept apart. Time is judged by the caller.
"""

from __future__ import annotations

import msgspec

from weighthouse.access.api.apart import meets_another
from weighthouse.access.api.facts import directory, index_of, recent
from weighthouse.access.api.sealing import agrees, open_grant
from weighthouse.access.model import Grant
from weighthouse.access.ports import Refusals
from weighthouse.access.rules.deciding import Terms, base_moved, stands
from weighthouse.access.rules.duration import end_of
from weighthouse.access.store.grants import StoredGrant
from weighthouse.core.clock import Millis
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that was looked at: the grant if its seal holds, the code of what is wrong, and what it gives today."""

    grant: Grant | None
    problem: str
    actions: frozenset[str] = frozenset()
    end: Millis = 0


def standing_of(unit: Unit, bundle: policy.Bundle, row: StoredGrant) -> Standing:
    """Look at one row; never raises for a grant that does not count."""
    sealed = open_grant(unit, row)
    if sealed is None:
        return Standing(grant=None, problem="access.grant_seal")
    grant = sealed.grant
    if not agrees(row, grant):
        return Standing(grant=grant, problem="access.grant_row_differs")
    terms = index_of(bundle).terms(grant.entitlement, grant.resource)
    actions, end = _today(grant, terms)
    refusals = unit.part(Refusals)
    asked = grant.request
    foreign = identity.disclaimed(unit, grant.person, asked.session, asked.created)
    if row.state != "active" or refusals.closed(grant.id) or foreign:
        ended = msgspec.structs.replace(
            grant, state="ended", ended=row.ended, ended_why=row.ended_why, ended_by=row.ended_by
        )
        return Standing(grant=ended, problem="access.grant_ended", actions=actions, end=end)
    people = directory(unit, bundle, [grant.person])
    people.update(recent(unit, bundle, {vote.voter for vote in grant.votes}))
    problem = base_moved(grant.request, bundle.digest) or stands(grant.request, sealed.votes, people, terms)
    if not problem and meets_another(unit, bundle, grant):
        problem = "access.separation"
    return Standing(grant=grant, problem=problem, actions=actions, end=end)


def _today(grant: Grant, terms: Terms | None) -> tuple[frozenset[str], Millis]:
    """What the grant gives today: what was approved and is still policy, until the sooner of both ends."""
    if terms is None:
        return frozenset(), grant.end
    return frozenset(grant.request.actions) & terms.actions, end_of(grant.not_before, grant.end, terms.cap)
