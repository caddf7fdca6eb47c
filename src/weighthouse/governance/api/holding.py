"""Release holds. Guards a release by making the safe side easy and the other side hard.

Two members, or the chair alone, hold a release at once. Access keeps the hold and refuses what it covers, whatever
grants exist. Only a quorate motion lifts it; until ratified it is shown as due, and it never lapses by waiting.
"""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.errors import Conflict, Invalid
from weighthouse.core.ids import check_slug, new_id
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.governance import store
from weighthouse.governance.api import counting
from weighthouse.governance.api.charter import charter_of, check_member, check_model, digest_of
from weighthouse.governance.events import HoldCalled, HoldPlaced
from weighthouse.governance.model import RATIFY_WITHIN, ReleaseStatus
from weighthouse.policy import api as policy

REASON_LIMIT = 2_000
CALLS = 50
CALLED = "Enough members have called for it."
_PLACED = audit.Lines(HoldPlaced.KIND)
access.declare(HoldCalled, by="call")


@access.stops
def place_release_hold(unit: Unit, caller: Caller, model: str, reason: str) -> ReleaseStatus:
    """Call for a hold on a model's release; it binds at once when the chair calls, or with a second member's call.

    Raises Denied, `governance.no_voting_seat`, `governance.step_up_needed`, `governance.no_such_model`,
    `governance.bad_reason`, `governance.already_held`, `governance.already_called`.
    """
    check_slug(model)
    access.require(unit, caller, "committee.hold", model)
    check_member(unit, caller)
    _check(unit, model, reason)
    _not_held(unit, model)
    member, known = str(caller.principal), access.callers(unit, model)
    call = access.HoldCall(id=new_id("cll"), model=model, member=member, reason=reason, at=unit.now)
    line = HoldCalled(call=call.id, model=model, member=member, reason=reason)
    if member not in known:  # before the lock, which somebody may hold for ever
        access.remember_call(unit, call, line)
    store.lock(unit.conn, f"hold {model}")  # two who call at one moment would each see nobody else's call
    _not_held(unit, model)
    calling = tuple(sorted({one.member for one in access.waiting_calls(unit, model)} | {member}))
    if not policy.may_hold(access.seating(unit), calling):
        if member in known:
            raise Conflict(
                "governance.already_called",
                "You have called for this hold already; it needs another member, or the chair.",
                "Ask a second member to call for it.",
            )
        access.keep_call(unit, call)
        audit.append(unit, line)
        return release_status(unit, model)
    _bind(unit, caller, model, reason, calling, call)
    return release_status(unit, model)


def _not_held(unit: Unit, model: str) -> None:
    if _hold_on(unit, model, remembered=True) is not None:
        raise Conflict(
            "governance.already_held", "The release of this model is held already.", "Nothing more is needed."
        )


def _bind(
    unit: Unit, caller: Caller, model: str, reason: str, calling: tuple[str, ...], call: access.HoldCall | None = None
) -> None:
    """Place the hold that these members have called for; `call` is the one that makes them enough."""
    held = access.HELD_ACTIONS
    hold = access.place_hold(unit, caller, model, reason, actions=held, kind="governance")  # before any row
    if call is not None:
        access.keep_call(unit, call)
    store.add_release_hold(unit.conn, hold.id, model, calling, unit.now + RATIFY_WITHIN)
    access.answer_calls(unit, model, hold.id)
    audit.append(
        unit,
        HoldPlaced(
            hold=hold.id,
            model=model,
            called_by=calling,
            reason=reason,
            ratify_by=unit.now + RATIFY_WITHIN,
            charter=digest_of(charter_of(unit)),
        ),
    )


def bind_calls(system: System) -> int:
    """Place every hold for which enough members have called and that does not stand; return how many.

    Attack: hide the first call until the second is stored as another first one. What the log tells is asked again and
    again, so that calls which together suffice bind, whatever became of their rows.
    """
    with read(system) as unit:
        bundle = policy.current(unit)
        models = [one.id for one in bundle.lab.resources.values() if one.kind == "model"]
        due = [model for model in models if bundle.lab.committee is not None and _due(unit, model)]
    return sum(_bind_calls(system, model) for model in due)


def _bind_calls(system: System, model: str) -> bool:
    with begin(system, SYSTEM) as unit:
        store.lock(unit.conn, f"hold {model}")
        waiting = _due(unit, model)
        if not waiting:
            return False
        reason = next((one.reason for one in waiting if len(one.reason.strip()) >= 3), CALLED)
        _bind(unit, SYSTEM, model, reason, tuple(sorted({one.member for one in waiting})))
    return True


def _due(unit: Unit, model: str) -> list[access.HoldCall]:
    """The calls that suffice for a hold which does not stand; none if they do not, or if it does."""
    waiting = access.waiting_calls(unit, model)
    if not waiting or not policy.may_hold(access.seating(unit), [one.member for one in waiting]):
        return []
    return [] if _hold_on(unit, model) is not None else waiting


def release_status(unit: Unit, model: str) -> ReleaseStatus:
    """Return whether a release is held, and what would change that. Raises `governance.no_such_model`."""
    check_model(unit, model)
    hold = _hold_on(unit, model)
    if hold is None:
        return _unplaced(unit, model)
    called_by, ratify_by = _called(unit, hold)
    return ReleaseStatus(
        model=model,
        held=True,
        hold=hold.id,
        since=hold.at,
        reason=hold.reason,
        called_by=called_by,
        ratify_by=ratify_by,
        ratified=_ratified(unit, hold.id),
        remedy="A quorate motion of the class lift_hold about this hold lifts it; no administrator can.",
    )


def _unplaced(unit: Unit, model: str) -> ReleaseStatus:
    """The status of a release with no hold: calls that suffice refuse it all the same, until the timer binds them."""
    waiting, enough = access.waiting_calls(unit, model), access.called(unit, model)
    join = "A second member, or the chair, must join the call for it to bind." if waiting else ""
    return ReleaseStatus(
        model=model,
        held=enough,
        hold=None,
        since=waiting[-1].at if enough else None,
        reason=next((one.reason for one in waiting if one.reason), ""),
        called_by=tuple(one.member for one in waiting),
        ratify_by=None,
        ratified=False,
        remedy="Enough members have called; their hold is placed within seconds." if enough else join,
    )


def _called(unit: Unit, hold: access.Hold) -> tuple[tuple[str, ...], int]:
    """Return who called a hold and until when it should be ratified: as the log tells it, or, until PostgreSQL's
    log has taken the fact in, as the row does."""
    for one in _PLACED.of(unit, str(hold.subject), newest_first=True, limit=CALLS):
        if one.data["hold"] == hold.id:
            return tuple(one.data["called_by"]), int(one.data["ratify_by"])
    return store.release_hold(unit.conn, hold.id) or ((str(hold.placed_by),), hold.at + RATIFY_WITHIN)


def _ratified(unit: Unit, hold: str) -> bool:
    """Return whether a motion that the rows call carried was: the log has the last word."""
    over = (counting.closing(unit, motion) for motion in store.carried(unit.conn, "hold", hold))
    return any(one is not None and one.data["outcome"] == "carried" and one.data["about"] == hold for one in over)


def _hold_on(unit: Unit, model: str, *, remembered: bool = False) -> access.Hold | None:
    """The hold of the committee on a model: one outside the database before one of a row alone.

    With `remembered` no row counts: one that somebody wrote must not answer that a model is held already.
    """
    found = [*access.remembered_holds(unit, model), *([] if remembered else access.holds(unit, model))]
    return next((one for one in found if one.kind == "governance"), None)


def _check(unit: Unit, model: str, reason: str) -> None:
    check_model(unit, model)
    visible.check(reason, "The reason")
    if not reason.strip() or len(reason) > REASON_LIMIT:
        raise Invalid(
            "governance.bad_reason",
            f"A hold has a reason of 1 to {REASON_LIMIT} characters.",
            "Say why the release must wait.",
        )
