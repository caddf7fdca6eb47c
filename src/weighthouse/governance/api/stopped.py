"""What a hold has stopped since it was placed. Guards whoever looks after a hold from not knowing what it cost whom.

It is read from the log: each line with which a hold stops something names it, of several the one placed first. Lines
from before they named one are in no count.
"""

from __future__ import annotations

import msgspec

from weighthouse.access import api as access
from weighthouse.access import events as told_by_access
from weighthouse.audit import api as audit
from weighthouse.core import paging
from weighthouse.core.caller import Caller
from weighthouse.core.errors import NotFound
from weighthouse.core.ids import check_id
from weighthouse.core.work import Unit
from weighthouse.governance.model import HoldShown, StoppedAct
from weighthouse.runs import events as told_by_runs
from weighthouse.weights import events as told_by_weights

_PLACED = audit.Lines(told_by_access.HoldPlaced.KIND, by="hold")
_LIFTED = audit.Lines(told_by_access.HoldLifted.KIND, by="hold")
_DENIED, _NAMED = told_by_access.Denied.KIND, told_by_runs.ReferenceRefused.KIND
_ENDED, _FAILED = told_by_runs.RunStopped.KIND, told_by_runs.RunFailed.KIND
_UNDONE, _KEPT = told_by_weights.DestructionUndone.KIND, told_by_weights.ModelDestructionUndone.KIND
_STOPPED = tuple(audit.Lines(kind, by="hold") for kind in (_DENIED, _NAMED, _ENDED, _FAILED, _UNDONE, _KEPT))


def show_hold(unit: Unit, caller: Caller, hold_id: str) -> HoldShown:
    """A hold, whether it stands or was lifted, and how often it has stopped something so far.

    For who may place holds there, hold releases, or read the log. Raises Denied, and NotFound `access.no_such_hold`.
    """
    id_ = check_id(hold_id, "hld")
    found = _find(unit, id_)
    access.check_looks(unit, caller, found.subject if found is not None else "")
    if found is None:
        raise NotFound("access.no_such_hold", "There is no such hold.", "Pick one from the list of holds.")
    return HoldShown(hold=found, stopped=sum(lines.count(unit, id_) for lines in _STOPPED))


def stopped_page(
    unit: Unit, caller: Caller, hold_id: str, *, cursor: str | None = None, limit: int = paging.USUAL
) -> paging.Page[StoppedAct]:
    """What a hold has stopped, the newest first, each as one line of the log tells it. Raises as `show_hold` does."""
    total = show_hold(unit, caller, hold_id).stopped
    place = paging.place_of(cursor, "stopped", (int,))
    at = int(place.key[0]) if place is not None else 0
    if place is not None and place.back:
        found = [one for lines in _STOPPED for one in lines.of(unit, hold_id, start=at + 1, limit=limit + 1)]
        found.sort(key=lambda one: one.index)
    else:
        end = at if place is not None else None
        found = [
            one for lines in _STOPPED for one in lines.of(unit, hold_id, end=end, limit=limit + 1, newest_first=True)
        ]
        found.sort(key=lambda one: -one.index)
    page = paging.page(found[: limit + 1], limit, "stopped", lambda one: (one.index,), place)
    return msgspec.structs.replace(page.of(_act), total=total)


def _find(unit: Unit, hold_id: str) -> access.Hold | None:
    """A hold that stands, or one that the log tells of."""
    standing = next((one for one in access.holds(unit) if one.id == hold_id), None)
    placed = _PLACED.newest(unit, hold_id) if standing is None else None
    if placed is None:
        return standing
    data, lifted = audit.reveal(unit, placed), _LIFTED.newest(unit, hold_id)
    return access.Hold(
        id=data["hold"],
        subject=data["held"],
        kind=data["kind"],
        reason=data["reason"] if isinstance(data["reason"], str) else "",
        actions=tuple(data["actions"]),
        placed_by=data["by"],
        at=placed.at,
        lifted=lifted.at if lifted is not None else None,
    )


def _act(entry: audit.Entry) -> StoppedAct:
    data = entry.data
    what, by, about = {
        _DENIED: (data.get("action"), data.get("principal"), data.get("resource")),
        _NAMED: ("run.submit", data.get("owner"), data.get("reference")),
        _ENDED: ("run ended", data.get("run"), data.get("model")),
        _FAILED: ("run not started", data.get("run"), data.get("model")),
        _UNDONE: ("weights.destroy", "", data.get("version")),
        _KEPT: ("weights.destroy_model", "", data.get("model")),
    }[entry.kind]
    return StoppedAct(index=entry.index, at=entry.at, what=str(what), by=str(by), about=str(about), kind=entry.kind)
