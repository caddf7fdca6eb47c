"""From approval to grant, in the same transaction. Guards a grant from being made twice or from a leaping clock.

The request's row is locked and moved first; the grant's row is unique for its request; the statement that the grant
key seals holds the whole request and every vote.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weighthouse.access.api.apart import remember
from weighthouse.access.api.chains import check_begins
from weighthouse.access.api.facts import terms_of
from weighthouse.access.api.outcomes import end_of_grant, end_of_request
from weighthouse.access.api.sealing import seal_grant
from weighthouse.access.events import GrantStarted, RequestApproved
from weighthouse.access.model import Grant, Request, Vote, grant_of
from weighthouse.access.ports import Refusals
from weighthouse.access.rules.deciding import Quorum
from weighthouse.access.store import grants as grant_rows
from weighthouse.access.store import requests as rows
from weighthouse.audit import api as audit
from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

_CONFIRM = (
    "If it is wrong, set it right; if it is right, an operator runs `weighthouse audit confirm-clock --reason WHY` "
    "here."
)
_TROUBLE = {
    "ahead": ("has leapt ahead of the time that has passed since the server started", _CONFIRM),
    "late": ("has stepped back, behind the time that has passed since the server started", _CONFIRM),
    "behind": (
        "is behind the latest time that was used",
        "Set it right if it is wrong; if it is right and had leapt ahead for a while, an operator runs `weighthouse "
        "audit confirm-clock --reason WHY` here. Once it has passed that time, grants are issued again by "
        "themselves.",
    ),
    "apart": (
        "of the database and this machine's are hours apart",
        "Set the one right that is wrong; grants are then issued again by themselves, or once an operator has run "
        "`weighthouse audit confirm-clock --reason WHY` here.",
    ),
}


def approve(unit: Unit, request: Request, quorum: Quorum) -> Request:
    """Move a locked, pending request to approved. Raises Conflict if somebody was first."""
    if unit.clock_suspect:
        what, remedy = _TROUBLE[unit.clock_trouble]
        raise Unavailable("access.clock_suspect", f"The clock {what}, so no new grant is issued from it.", remedy)
    refusals = unit.part(Refusals)
    late = refusals.closed(request.id) or refusals.closed(grant_of(request.id)) or _over_in_log(unit, request.id)
    if late or not rows.settle(unit.conn, request.id, request.row, "approved", "", unit.now):
        raise Conflict("access.request_closed", "This request is settled already.", "Look at the request again.")
    unit.after_commit(lambda: refusals.close([request.id]))
    audit.append(
        unit,
        RequestApproved(
            request_id=request.id,
            digest=request.digest,
            policy_digest=policy.current(unit).digest,
            filled=tuple(f"{slot}={person}" for slot, person in quorum.filled),
        ),
    )
    return msgspec.structs.replace(request, state="approved", settled=unit.now, row=request.row + 1)


def _over_in_log(unit: Unit, request_id: str) -> bool:
    """Whether the log tells of an end, of which this server may not have heard yet."""
    return end_of_request(unit, request_id) is not None or end_of_grant(unit, grant_of(request_id)) is not None


def activate(unit: Unit, bundle: policy.Bundle, request: Request, votes: Sequence[Vote]) -> Grant:
    """Seal and store the grant of an approved request. What limits it is judged now, whenever it was asked for."""
    terms = terms_of(bundle.lab, request.entitlement, request.resource)
    assert terms is not None, "an approved request has terms"
    check_begins(unit, bundle, request, terms)
    grant = Grant(
        id=grant_of(request.id),
        request=request,
        votes=tuple(votes),
        not_before=unit.now,
        end=unit.now + min(request.duration, terms.cap),
        policy_digest=bundle.digest,
    )
    statement, seal = seal_grant(unit, grant)
    if not grant_rows.add(unit.conn, grant, statement, seal):
        raise Conflict("access.request_closed", "This request has its grant already.", "Look at the request again.")
    remember(unit, grant, grant.end)
    audit.append(
        unit,
        GrantStarted(
            grant=grant.id,
            request_id=request.id,
            request_digest=request.digest,
            policy_digest=bundle.digest,
            principal=request.person,
            entitlement=request.entitlement,
            resource=request.resource,
            actions=request.actions,
            environment=request.environment,
            not_before=grant.not_before,
            end=grant.end,
            approvers=tuple(vote.voter for vote in votes),
        ),
    )
    return grant
