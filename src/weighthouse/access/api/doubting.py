"""Closing on doubt. Guards every release from a log that is proven not to be the whole truth.

While a witness contradicts the log, after a fork was accepted, or while the database is not as this software made it,
a hold of the kind `log` stands on the lab. The system places it, again and again if need be; two people lift it, each
having looked. Its id is made from what was seen, so that what they settled stays settled and what is new does not.
"""

from __future__ import annotations

import hashlib

from weighthouse.access.api.holds import stand
from weighthouse.access.model import Hold
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.ids import HoldId, made_id
from weighthouse.core.work import System, begin, read
from weighthouse.policy import api as policy

MOST = 1_000
"""How often one lasting doubt may be lifted too early before the search for the next id gives up, closed."""


def close_on_doubt(system: System) -> tuple[HoldId, ...]:
    """Place the hold of every doubt that stands and is not settled; return those placed now."""
    placed = []
    for doubt in audit.doubts(system):
        with read(system) as unit:
            wanted = _wanted(unit.part(Refusals), doubt)
        if wanted is None:
            continue
        with begin(system, SYSTEM) as unit:
            hold = Hold(
                id=wanted,
                subject=policy.LAB_RESOURCE,
                kind="log",
                reason=_reason(doubt),
                actions=(),
                placed_by=SYSTEM.principal,
                at=unit.now,
            )
            stand(unit, hold)
        placed.append(wanted)
    return tuple(placed)


def _wanted(refusals: Refusals, doubt: audit.Doubt) -> HoldId | None:
    """Return the id of the hold to place, None if it stands, or if people have looked at just this and lifted it."""
    standing = {hold.id for hold in refusals.holds()}
    for turn in range(MOST):
        one = hold_of(doubt, turn)
        if one in standing:
            return None
        if not refusals.lifted(one):
            return one
        if not doubt.lasting:
            return None
    return hold_of(doubt, MOST)


def hold_of(doubt: audit.Doubt, turn: int = 0) -> HoldId:
    """Return the id of a doubt's hold: the same for the same contradiction, whichever server finds it."""
    seen = hashlib.sha256(f"{doubt.cause}\n{doubt.seen}\n{turn}".encode()).digest()
    return HoldId(made_id("hld", seen))


def _reason(doubt: audit.Doubt) -> str:
    return f"The log is in doubt: {doubt.detail}"[:2_000]
