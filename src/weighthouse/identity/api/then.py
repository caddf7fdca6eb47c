"""Whether a key counted when it signed. Guards answers that fell from coming back when their key has grown.

Whether a key counts now says nothing of what it signed before: one that a thief confirmed falls back with that
session, and grows up by itself a day later. So what lasts is judged as of the moment that it names, by what vouched
for its key until then and is not disowned since; later vouchers, and a key that grew up later, give it nothing back.
"""

from __future__ import annotations

from weighthouse.core.clock import Millis
from weighthouse.core.errors import Denied
from weighthouse.core.work import Unit
from weighthouse.identity.api.new_keys import at_once, grows_at
from weighthouse.identity.api.vouchers import is_confirmed, stands
from weighthouse.identity.model import Device, PrincipalState


def check_counted_then(unit: Unit, device: Device, state: PrincipalState, at: Millis) -> None:
    """Raise Denied `identity.key_young` for what a key signed before it counted, by what still stands."""
    begins = _since(unit, device, state)
    if begins is not None and at >= begins:
        return
    raise Denied(
        "identity.key_young",
        "This was signed with a key that did not count yet when it signed, so it counts for nothing.",
        "Sign it anew with a key that counts.",
    )


def _since(unit: Unit, device: Device, state: PrincipalState) -> Millis | None:
    """From when on a key has counted, by all that stands now; None if by nothing."""
    if at_once(unit.system):
        return device.at
    mine = [one for one in state.vouchers if one.device == device.id and one.act != "beside"]
    found = [one.at for one in mine if stands(unit, one)]
    if not found and is_confirmed(unit, state, device.id):  # confirmed before it was kept by whom
        return device.at
    grown = grows_at(unit, device, state)
    if grown is not None:
        found.append(grown)
    return min(found, default=None)
