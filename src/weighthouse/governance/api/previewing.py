"""A hold in words and numbers before it is placed. Guards a stop from being wider, or narrower, than who asks thinks.

What each room keeps is asked by the rule that will decide: running and waiting runs, keys out on lease, grants,
requests, exports that are approved, and orders to destroy. What is stopped besides is what has not begun.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.work import Unit
from weighthouse.governance.model import HoldPreview, Stopping
from weighthouse.policy import api as policy
from weighthouse.runs import api as runs
from weighthouse.weights import api as weights

FIRST = 3


def preview_hold(unit: Unit, caller: Caller, subject: str, actions: tuple[str, ...]) -> HoldPreview:
    """What a hold on `subject` would stop now: how many of each, and the first of them. Places nothing.

    Raises as `access.place_hold` does.
    """
    person = subject in policy.current(unit).lab.people
    hold = access.hold_as_asked(unit, caller, subject, actions)
    open_runs = runs.stopped_by(unit, hold)
    grants = access.stopped_grants(unit, hold)
    exporting = [one.id for one in grants if "weights.export" in one.request.actions]
    found = (
        _stopping("running", "runs that end within seconds", (one.id for one in open_runs if one.state != "queued")),
        _stopping("queued", "runs that will not start", (one.id for one in open_runs if one.state == "queued")),
        _stopping("leased", "leases of keys that are not renewed", weights.leases_stopped_by(unit, hold)),
        _stopping("exporting", "approved exports that are refused", exporting),
        _stopping("approved", "other grants that are refused", (one.id for one in grants if one.id not in exporting)),
        _stopping("requested", "requests that nobody can approve", access.stopped_requests(unit, hold)),
        _stopping("destroying", "orders to destroy that are undone", weights.orders_stopped_by(unit, hold)),
    )
    return HoldPreview(
        subject=subject,
        actions=hold.actions,
        words=_words(hold, person=person),
        stops=found,
    )


def _stopping(what: str, means: str, ids: Iterable[str]) -> Stopping:
    found = list(ids)
    return Stopping(what=what, means=means, count=len(found), first=tuple(found[:FIRST]))


def _words(hold: access.Hold, *, person: bool) -> tuple[str, ...]:
    """What the hold says, in lines for a narrow terminal."""
    whole = "everything but to see and give back what is theirs" if person else "all that does not only close or look"
    besides = not person and hold.actions and "weights.destroy" not in hold.actions
    return (
        *(f"It stops {one}." for one in hold.actions or (whole,)),
        *(("It stops weights.destroy, too: what is held must still be there.",) if besides else ()),
        f"It is on {hold.subject}{'' if person else _far(hold.subject)}.",
        "It takes no key back that was given, and lasts until it is lifted.",
    )


def _far(subject: str) -> str:
    if subject == "lab":
        return ", which is everything and everybody"
    if subject.startswith("dataset/"):
        return ", on the runs that read it, and on what was trained on it"
    return " and on what was made from it"
