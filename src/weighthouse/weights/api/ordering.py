"""What any order to destroy is given by, undone by and asked about again. Guards an end from being one person's, or
of a person who was not themselves.

The same for one version (destroying.py) and for the key of a whole model (ending.py): the approved grant, used once;
the time in which it can be undone; and what stands against it when that is over.
"""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY, MINUTE, SECOND, Millis
from weighthouse.core.errors import Conflict, Denied
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.weights.api.ends import Orders
from weighthouse.weights.model import setting

USUAL, TRIED_OUT = 7 * DAY, 10 * MINUTE


def check_person(caller: Caller) -> None:
    """Raise Denied `weights.destroy_by_person` for whoever is no person."""
    if caller.kind != "person":
        raise Denied("weights.destroy_by_person", "Only a person destroys weights; a run never does.", "Ask one.")


def approval(unit: Unit, orders: Orders, subject: str, decision: access.Decision) -> access.Grant:
    """The approved grant that an order is given by, if no order was given by it before.

    Raises Denied, Conflict `weights.order_used`.
    """
    grant = access.valid_grant(unit, decision.grant or "")
    if orders.was_used(unit, subject, grant.id):
        raise Conflict(
            "weights.order_used",
            "This approval was used for an order that was undone.",
            "Ask for the destruction anew, so that its approvers decide knowing that.",
        )
    return grant


def is_one_of(caller: Caller, order: audit.Entry | None) -> bool:
    """Whether the caller has given or approved an order, and so undoes it without asking anybody."""
    return order is not None and caller.kind == "person" and caller.principal in people(order)


def people(order: audit.Entry) -> tuple[str, ...]:
    """Who gave an order, and who approved it."""
    return (str(order.data["person"]), *map(str, order.data["approvers"]))


def told(order: audit.Entry) -> str:
    """The same in words."""
    person, *approvers = people(order)
    return f"Ordered by {person}, approved by {', '.join(approvers)}."


def not_open(what: str) -> Conflict:
    return Conflict(
        "weights.not_being_destroyed",
        f"No order to destroy this {what} is open.",
        "Nothing needs to be undone; after an order of this very moment, try again in a second.",
    )


def against(unit: Unit, order: audit.Entry, *, as_sealed: bool) -> str:
    """The code of what else than a hold stands against an order at its end; empty if nothing does."""
    said = order.data
    if identity.disclaimed(unit, said["person"], said["session"], order.at):
        return "identity.session_ended"
    if not as_sealed:
        return "weights.rolled_back"
    if not all(identity.is_active(unit, person) for person in people(order)):
        return "access.person_inactive"
    return access.taken_back(unit, said["grant"])


def check_still(unit: Unit, order: audit.Entry, stop: access.Stop | None) -> None:
    """Raise Conflict `weights.turned` for an end against which something was said while it was under way: it is asked
    about again at the timer's next turn, and undone then."""
    if stop is not None or against(unit, order, as_sealed=True):
        raise Conflict(
            "weights.turned",
            "Something was said against this end while it was under way.",
            "Nothing needs to be done; it is asked about again within a minute.",
        )


def grace(unit: Unit) -> Millis:
    """How long an order that is given now can be undone."""
    chosen = setting(unit.system.settings, "weights.destroy_grace_s")
    assert isinstance(chosen, int)
    if chosen:
        return chosen * SECOND
    return USUAL if unit.system.settings.text("mode") == "production" else TRIED_OUT
