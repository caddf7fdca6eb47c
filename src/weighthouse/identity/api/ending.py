"""The end of a key as stolen, or retired. Guards its owner's word that it was stolen from an end that came first.

Attack: open something with a stolen key, sign out, and end the key before its owner does: as retired, as stolen from
this moment on, or by waiting until policy drops its account. Nothing that it did is taken back by that, and an end
that answered "it is over" to its owner would keep it so. So no end stands in the way of a wider one: whoever may
end a key as stolen may do so after any end of it, and what the first one left is taken back then, each with its line.
A key that was set aside did nothing since, as one that was ended: a week is counted from whichever came first.
One that would take back nothing more changes nothing, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, NotFound, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.devices import drop_device, key_as_known
from weighthouse.identity.api.ends import FOREIGN, OWN
from weighthouse.identity.api.key_past import aside_at
from weighthouse.identity.api.key_sessions import EnrolledKey, from_when, sessions_with
from weighthouse.identity.api.sessions import ended_by_another
from weighthouse.identity.api.states import state_of
from weighthouse.identity.api.typed import typed
from weighthouse.identity.events import DeviceEnded
from weighthouse.identity.model import Device

_ENDED = audit.Lines(DeviceEnded.KIND)


def end_device(
    unit: Unit,
    caller: Caller,
    device_id: str,
    reason: str,
    *,
    retired: bool = False,
    since: Millis | None = None,
) -> None:
    """End one of the caller's own devices, live or aside; no vote or ballot that it signed counts any more.

    What else was done with it, from `since` or for a week, falls as with a session that was somebody else's, unless
    its owner says that they retire it. Raises as `end_device_of` does.
    """
    end_device_of(unit, caller.principal, device_id, reason, by=caller, retired=retired, since=since)


def end_device_of(
    unit: Unit,
    person: str,
    device_id: str,
    reason: str,
    *,
    by: Caller,
    retired: bool = False,
    since: Millis | None = None,
) -> None:
    """End one device of `person`, live or aside, as stolen or retired; who may is the caller's to judge.

    One that is over, however it ended, is ended as stolen still if that takes back more: a thief may have been first.
    Raises `identity.device_unknown`, `identity.end_not_wider`, `identity.since_ahead`.
    """
    reason = typed(reason)
    state = state_of(unit, person)
    if device_id in (*state.devices, *state.suspended):  # sealed, so it says whose it is though the row be gone
        did = _aside(unit, person, device_id) or state.stopped if device_id in state.suspended else None
        begins = 0 if retired else from_when(unit, since, ended=did)
    else:
        begins = _wider(unit, person, device_id, by, retired=retired, since=since)
    drop_device(unit, person, device_id, reason, by=by, whose=OWN if retired else FOREIGN, since=begins)


def _wider(unit: Unit, person: str, device_id: str, by: Caller, *, retired: bool, since: Millis | None) -> Millis:
    """From when on a key that is over is ended as stolen now, if that takes back more than its ends did so far."""
    key = key_as_known(unit, person, device_id)
    if key is None:
        raise NotFound("identity.device_unknown", "There is no such device.", "Pick one from the list of devices.")
    first, told = _ends(unit, person, device_id)
    begins = from_when(unit, since, ended=min(first, _aside(unit, person, device_id) or first))
    taken = [int(one.get("since", 0)) for one in told if one.get("whose") == FOREIGN]
    if retired or (taken and min(taken) <= begins and not _left(unit, key, begins, by)):
        raise Conflict(
            "identity.end_not_wider",
            "This device has been ended already, and to end it so takes back nothing more: nothing was changed.",
            "If it was in other hands before, end it as stolen since an earlier moment.",
        )
    return begins


def _aside(unit: Unit, person: str, device_id: str) -> Millis | None:
    """When a key was set aside: since then it did nothing, so a week is counted from that. None if it is not told."""
    with suppress(WeighthouseError):
        return aside_at(unit, person, device_id)
    return None


def _ends(unit: Unit, person: str, device_id: str) -> tuple[Millis, list[Mapping[str, Any]]]:
    """When a device was ended first, and what was said at each end. A log in doubt keeps nobody from ending a key."""
    lines = list[audit.Entry]()
    with suppress(WeighthouseError):
        lines = [one for one in _ENDED.of(unit, device_id) if one.data["principal"] == person]
    waiting = (one for one in audit.on_its_way(unit, DeviceEnded.KIND) if one["device"] == device_id)
    mine = [one for one in waiting if one["principal"] == person]
    return min((one.at for one in lines), default=unit.sure), [*(one.data for one in lines), *mine]


def _left(unit: Unit, key: Device | EnrolledKey, since: Millis, by: Caller) -> bool:
    """Whether a session would be disowned now that is not yet: the thief's own, which their end of the key spared."""
    found = sessions_with(unit, key, since) - {str(by.session or "")}
    return any(not ended_by_another(unit, one, key.person) for one in found)
