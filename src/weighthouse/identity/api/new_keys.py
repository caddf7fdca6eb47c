"""New keys. Guards what is sensitive from a key that somebody enrolled in a person's name a moment ago.

A key signs votes and ballots only once it is confirmed: by an older key of the same person, by a grown key of a
second person, by the operator of this machine, or by a day in which its owner, who is told, did not end it. A key
beside which its person has none that counts has no owner's eyes on it, so it waits for one of the others. Where the
lab is only tried out (mode demo or development) keys count at once, and it is said so.
"""

from __future__ import annotations

import msgspec

from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import Denied
from weighthouse.core.work import System, Unit
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.vouchers import is_confirmed, is_watched
from weighthouse.identity.model import Device, PrincipalState


def at_once(system: System) -> bool:
    """Whether new keys count at once here: by the setting, or because the lab is only tried out."""
    chosen = system.settings.text("identity.new_keys")
    return chosen == "at-once" or (chosen == "auto" and system.settings.text("mode") != "production")


def counts_from(unit: Unit, device: Device, state: PrincipalState, *, before: bool = False) -> Millis | None:
    """When a key begins to sign what is sensitive by itself; None if it waits for a second person. With `before`, as
    it was until the stop that is being made, which disowns who vouched."""
    confirmed = device.id in state.confirmed if before else is_confirmed(unit, state, device.id)
    if at_once(unit.system) or confirmed:
        return device.at
    return grows_at(unit, device, state, before=before)


def grows_at(unit: Unit, device: Device, state: PrincipalState, *, before: bool = False) -> Millis | None:
    """When a key counts by its age alone; None if it never does."""
    if device.id in state.first or not (before or is_watched(unit, state, device.id)):
        return None
    begins = device.at + unit.system.settings.integer("identity.new_key_s") * SECOND
    return None if 0 < memory(unit.system).version(_waits(device.id)) < begins else begins


def let_wait(unit: Unit, device: str) -> None:
    """Let a key that has not grown up yet never do so by itself, whatever its person's record says: words for it may
    have fallen, and the record that would say so cannot be read."""
    memory(unit.system).raise_version(_waits(device), unit.sure)


def _waits(device: str) -> str:
    return f"waits {device}"


def without_guardian(state: PrincipalState) -> PrincipalState:
    """The state once no key counts any more: those that are growing wait for a second person, like first ones."""
    waiting = tuple(one for one in state.devices if one not in (*state.first, *state.confirmed))
    return msgspec.structs.replace(state, first=(*state.first, *waiting))


def check_grown(unit: Unit, device: Device, state: PrincipalState) -> None:
    """Raise Denied `identity.key_young` for a key that nobody has confirmed yet."""
    begins = counts_from(unit, device, state)
    if begins is not None and unit.sure >= begins:
        return
    waits = "a second person" if begins is None else "an older key of yours, a second person, or a day"
    raise Denied(
        "identity.key_young",
        f"This key is new, and signs what is sensitive only once {waits} has confirmed it.",
        "Have it confirmed with `weighthouse devices confirm DEVICE`, or sign with an older key.",
    )
