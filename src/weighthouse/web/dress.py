"""What the frame shows about a signed-in person: name, teams, how much waits for them, which places they may see.

Guards the navigation from promising what the decision would refuse. Facts come from the rooms; a room that refuses
to answer leaves its mark out, and never breaks the page.
"""

from __future__ import annotations

from starlette.requests import Request

from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.web.frame import Who
from weighthouse.web.model import NAVIGATION

_ASKED = sorted({action for region in NAVIGATION for place in region.places for action in place.needs})


def dress(request: Request, unit: Unit, caller: Caller) -> None:
    """Put what the frame needs into the request's state; does nothing for requests of programs."""
    if request.url.path.startswith("/api/"):
        return
    state = request.scope["state"]
    person = identity.person(unit, caller.principal)
    state["who"] = Who(str(person.id), person.name, tuple(sorted(person.teams)))
    state["allowed"] = frozenset(
        action for action in _ASKED if access.explain(unit, caller, action, policy.LAB_RESOURCE).allowed
    )
    try:
        state["waiting"] = access.waiting(unit, caller)
    except WeighthouseError:
        state["waiting"] = 0
