"""People under a hold. Guards the lab from whoever security or the committee has stopped from everything.

Such a person asks for nothing, votes on nothing and looks at nothing that is not their own; what they approved before
counts for no new grant while the hold stands. They still see what is theirs, give it back and withdraw: that only
closes doors. A hold that names actions stops these and nothing else.
"""

from __future__ import annotations

from weighthouse.access.api.calls import whole_stop_of
from weighthouse.access.api.facts import person_of
from weighthouse.access.api.holds_on import first_of, holds_on
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.model import Hold, Request, named_version
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Denied
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def is_held(unit: Unit, person: str) -> bool:
    """Whether a hold stops this person from everything."""
    return bool(_on(unit, person))


def _on(unit: Unit, person: str) -> list[Hold]:
    return [hold for hold in holds_on(unit, person, person) if hold.subject == person and not hold.actions]


def free_person(unit: Unit, bundle: policy.Bundle, caller: Caller, action: str, subject: str) -> str:
    """The person who calls, if no hold stops them; raises Denied `access.held` with its one line."""
    person = person_of(unit, bundle, caller)
    if is_held(unit, person):
        text = "A hold on you stands; while it does, you ask for nothing, decide nothing and see only what is yours."
        raise _held(bundle, caller.principal, action, subject, text, first_of(unit, _on(unit, person)))
    return person


def check_open(unit: Unit, bundle: policy.Bundle, request: Request, action: str) -> None:
    """Raise Denied `access.held` if holds on thing, person or lab, or enough calls for one, stop everything that a
    request asks for."""
    if not request.actions:
        return
    version = named_version(request.operation)
    stop = whole_stop_of(unit, request.actions, request.resource, request.person, version)
    if stop is not None:
        text = "A hold stands against all of this."
        raise _held(bundle, request.person, action, request.resource, text, stop.hold)


def _held(bundle: policy.Bundle, person: str, action: str, subject: str, text: str, hold: str) -> Denied:
    line = DeniedEvent(
        principal=person,
        kind="person",
        action=action,
        resource=subject[:200],
        code="access.held",
        rule="held",
        grant="",
        policy_digest=bundle.digest,
        context={},
        hold=hold,
    )
    return Denied("access.held", text, "Ask who placed the hold; only lifting it opens this again.", record=[line])
