"""The charter in force, out of the signed policy bundle. Guards seats from being handed out by a row."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.core import canonical
from weighthouse.core.caller import Caller
from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import Denied, NotFound, Unauthenticated, Unavailable
from weighthouse.core.work import Unit
from weighthouse.governance.model import Charter, MotionClass, Quorum, Seat
from weighthouse.policy import api as policy

FRESH: Millis = 15 * MINUTE


def charter_of(unit: Unit) -> Charter:
    """Return the charter in force. Raises `governance.no_charter`, or what makes the policy bundle unfit."""
    configured = policy.current(unit).lab.committee
    if configured is None:
        raise Unavailable(
            "governance.no_charter",
            "The lab has no committee, so nobody can hold or clear a release.",
            "Add a `committee:` section to the lab configuration and publish it.",
        )
    return Charter(
        version=configured.version,
        seats=tuple(
            Seat(person=one.person, kind=one.kind, voting=one.voting, independent=one.independent, until=one.until)
            for one in configured.seats
        ),
        chair=next((one.person for one in configured.seats if one.chair), ""),
        min_independent=configured.min_independent,
        quorums={
            name: Quorum(present=rule.present, approve=rule.approve, independent=rule.independent)
            for name, rule in configured.quorums.items()
        },
        barred=tuple(configured.barred),
        answer_within=configured.answer_within,
        vacant=access.seating(unit).empty,
    )


def digest_of(charter: Charter) -> str:
    """Return the digest that names exactly this charter."""
    return canonical.digest(charter.statement())


def seats(unit: Unit) -> tuple[Seat, ...]:
    """Return the seats of the committee in force, the vacant ones among them. Raises `governance.no_charter`."""
    return charter_of(unit).seats


def vacancies(unit: Unit) -> tuple[str, ...]:
    """Return in words what the committee lacks to decide anything; empty when it is whole."""
    charter_of(unit)
    return policy.vacancies(access.seating(unit))


def check_member(unit: Unit, caller: Caller, cls: MotionClass = "hold", *, confirmed: bool = False) -> None:
    """Raise unless the caller is a person who may act on this class of motions, with a fresh second factor; with
    `confirmed` the act itself asks for one of its own."""
    if caller.kind != "person" or caller.principal not in access.seating(unit).able(cls):
        raise Denied(
            "governance.no_voting_seat",
            "Only a member with a voting seat of the charter in force may do this.",
            "Ask a member of the committee; seats are part of the lab configuration.",
        )
    stale = caller.assurance.level < 2 or unit.now - caller.assurance.at > FRESH
    if stale and not confirmed:
        raise Unauthenticated(
            "governance.step_up_needed",
            "A member acts with a second factor that is not older than 15 minutes.",
            "Step up, then do it again.",
        )


def check_model(unit: Unit, model: str) -> None:
    """Refuse a name that is no model: a misspelt one must never read as a release that may go out."""
    resource = policy.current(unit).lab.resources.get(model)
    if resource is None or resource.kind != "model":
        raise NotFound(
            "governance.no_such_model", "The lab has no model with this id.", "Use the id as the catalogue spells it."
        )
