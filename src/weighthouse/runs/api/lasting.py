"""Whether a run may begin and go on. Guards against a run that outlives its grant, its owner, its session or a stop.

Attack: a trigger in the database empties `runs_run.stop_asked`, or moves the cursor of the follower that stops runs,
and every stop, revoke, hold and freeze is answered with OK while the run goes on. So nothing has to arrive: the
runner asks access, identity and the memory outside the database again, at the start and every second.
"""

from __future__ import annotations

from collections.abc import Iterator

from weighthouse.access import api as access
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.runs.api import references
from weighthouse.runs.api.sealing import ticket_of
from weighthouse.runs.model import Ticket
from weighthouse.runs.ports import Ground
from weighthouse.weights import api as weights

EVERY_MS: Millis = SECOND
_CODES = {
    "access.held": "runs.held",
    "access.person_inactive": "runs.person_frozen",
    "access.grant_ended": "runs.grant_ended",
    "access.grant_expired": "runs.grant_ended",
}


def lost(unit: Unit, ticket: Ticket) -> str:
    """Return the code of why this run may not begin or go on, empty while it may."""
    order = ticket.order
    if not identity.account_holds(unit, ticket.owner, ticket.account):
        return "runs.lost_access"
    code = access.lost(unit, ticket.owner, ticket.account, ticket.grant, "run.submit", order.model)
    if code:
        return _CODES.get(code, "runs.lost_access")
    code = access.bound_lost(unit, identity.workload_of(ticket.run))
    if code:
        return _CODES.get(code, "runs.lost_access")
    refused = references.first_refused(unit, ticket, unit.part(Ground).sandbox().tier)
    if refused is not None:
        own = refused.code if refused.code.startswith("runs.") else "runs.lost_access"
        return _CODES.get(refused.code, own)
    if _opened_held(unit, ticket):
        return "runs.held"
    if ticket.session and identity.disowned(unit, ticket.owner, ticket.session, ticket.submitted):
        return "runs.session_ended"
    # Last, for it may leave the run a while to save, which nothing above does.
    return "runs.stopped_by_person" if access.refused_for_good(unit, ticket.run) else ""


def hold_against(unit: Unit, run: str, code: str) -> str:
    """Return the id of the hold for which a run is ended with `code`; empty if it is for something else, or if none
    stands any more. It only tells: nothing that cannot be read here may keep a run from ending."""
    if code not in ("access.held", "runs.held"):
        return ""
    try:
        found = ticket_of(unit, run)
        return next(filter(None, _holds(unit, found)), "") if found is not None else ""
    except WeighthouseError:
        return ""


def _holds(unit: Unit, ticket: Ticket) -> Iterator[str]:
    """The holds against what a run rests on, in the order in which `lost` asks."""
    own = access.held_by(unit, "run.submit", ticket.order.model, ticket.owner)
    yield own.hold if own is not None else ""
    refused = references.first_refused(unit, ticket, unit.part(Ground).sandbox().tier)
    yield refused.hold if refused is not None else ""
    for version, model in weights.opened(unit, ticket.run):
        stop = access.held_by(unit, "weights.load", model, ticket.owner, version)
        yield stop.hold if stop is not None else ""


def _opened_held(unit: Unit, ticket: Ticket) -> bool:
    """Whether a hold stands against what the run has loaded without naming it as its parent, or what that was made
    from: it has the keys, and goes on reading."""
    had = set(weights.opened(unit, ticket.run))
    return any(access.held(unit, "weights.load", model, ticket.owner, version) for version, model in had)
