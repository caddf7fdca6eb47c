"""Who still has a key that counts. Guards a committee from falling silent by the end of its keys.

Where new keys wait for a second person, whoever has none that counts votes on nothing until one is confirmed. Where
they count at once nobody is silenced so: another key is a minute away.
"""

from __future__ import annotations

from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.devices import counting
from weighthouse.identity.api.falling import without
from weighthouse.identity.api.new_keys import at_once
from weighthouse.identity.api.states import state_of
from weighthouse.identity.api.weeks import lately
from weighthouse.identity.model import PrincipalState


def has_voice(unit: Unit, person: str) -> bool:
    """Whether a key of theirs counts, or another would at once."""
    return at_once(unit.system) or bool(_keys(unit, person))


def is_only_voice(unit: Unit, person: str, device: str) -> bool:
    """Whether this is the one key of theirs that counts, and another would wait."""
    return not at_once(unit.system) and _keys(unit, person) == {device}


def rests_wholly_on(unit: Unit, person: str, other: str) -> bool:
    """Whether no key of theirs would count any more if everything of `other` were stopped now."""
    if at_once(unit.system) or not _keys(unit, person):
        return False
    state = state_of(unit, person)
    fallen = [
        voucher
        for voucher in state.vouchers
        if any(one.by == other and lately(unit, one.at) for one in voucher.origins)
    ]
    return bool(fallen) and not counting(unit, without(unit, state, fallen))


def _keys(unit: Unit, person: str) -> frozenset[str]:
    """The keys that count; of a record that is not believed, none."""
    try:
        state: PrincipalState = state_of(unit, person)
    except WeighthouseError:
        return frozenset()
    return counting(unit, state)
