"""Learning from the log what was refused. Guards a server from saying yes to what another server has said no to.

Attack: revoke at server A, then put the row back: A remembers, B does not. So each server reads the whole log, in
order and checked against the signed head, from a place of its own that no database knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.audit.api import growing
from weighthouse.audit.api.reading import entries
from weighthouse.audit.model import Learner
from weighthouse.audit.store import log as store
from weighthouse.core.work import System, read

BATCH = 500


def learn(system: System, place: int, learners: Sequence[Learner]) -> int:
    """Hand the next entries from `place` on to the learners; return the place after them, `place` when none is new.

    A log that ends before `place` is another one, or was accepted as shorter: it is learnt from its beginning.
    """
    with read(system) as unit:
        head = store.read_head(unit.conn) or growing.EMPTY_HEAD
        begin = place if place <= head.size else 0
        found = entries(unit, start=begin, limit=BATCH)
    if [one.index for one in found] != list(range(begin, begin + len(found))) or (not found and begin < head.size):
        raise growing.tampered(f"an entry between {begin} and {begin + BATCH} is missing")
    for learner in learners:
        theirs = [one for one in found if one.kind in learner.kinds]
        if theirs:
            learner.learn(system, theirs)
    return begin + len(found)
