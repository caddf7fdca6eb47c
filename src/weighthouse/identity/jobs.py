"""identity's timers write down ends that are in force, stops whose change failed, and what a hidden row kept from
following an end; its follower says which keys fall with them; its learner takes from the log those of other servers.
"""

from __future__ import annotations

from weighthouse.audit.api import Entry, Follower, Learner
from weighthouse.core.clock import MINUTE
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, Unit
from weighthouse.identity.api import falling, overtaken, owing, redoing, tidy
from weighthouse.identity.api.learning import KINDS, learn


def _keys(unit: Unit, entry: Entry) -> None:
    """Either may come last: the line of the end, or that of what was given by what ended."""
    (falling.fall if entry.kind in falling.KINDS else overtaken.late)(unit, entry)


def _again(system: System) -> int:
    return redoing.redo(system, _keys)


followers: tuple[Follower, ...] = (
    Follower(name="identity-keys", kinds=falling.KINDS | overtaken.KINDS, handle=_keys),
)
learners: tuple[Learner, ...] = (Learner(KINDS, learn),)
timers: tuple[Timer, ...] = (
    Timer(name="identity-tidy", every_ms=MINUTE, run=tidy),
    Timer(name="identity-owed", every_ms=MINUTE // 4, run=owing.pay),
    Timer(name="identity-again", every_ms=MINUTE // 4, run=_again),
)
