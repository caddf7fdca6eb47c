"""One commit of a run at a time, and none of a run that is over. Guards the store and the threads that answer runs.

A run that sends the same commit sixty times would have its shards copied sixty times side by side, and one that has
ended would have them copied still. Who commits while another commit of the same run is under way is refused at once,
which counts; when a run ends, its commit stops at the next segment, and only then is what it left removed. Runs speak
to one server alone, so this is kept in that process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from weighthouse.core.errors import Conflict
from weighthouse.core.work import System

MOST_OVER = 10_000  # a request that was let in before its run ended does not outlast so many others
STOPS_S = 30


class Turns:
    """Who commits in this process, and which runs are over."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.busy: set[str] = set()
        self.over: dict[str, None] = {}

    def check(self, who: str) -> None:
        if who in self.over:
            raise Conflict("weights.run_over", "The run has ended, so nothing of it is committed.", "Run it again.")


_turns: WeakKeyDictionary[System, Turns] = WeakKeyDictionary()
_lock = threading.Lock()


def _of(system: System) -> Turns:
    with _lock:
        return _turns.setdefault(system, Turns())


@contextmanager
def turn(system: System, who: str) -> Iterator[Callable[[], None]]:
    """Be the one commit of `who`; yields what raises once the run is over.

    Raises Conflict `weights.commit_busy` while there is another one, `weights.run_over`.
    """
    turns = _of(system)
    with turns.changed:
        turns.check(who)
        if who in turns.busy:
            raise Conflict(
                "weights.commit_busy",
                "Another commit of this run is being copied and checked.",
                "Wait for its answer, then send this one; the SDK does so by itself.",
            )
        turns.busy.add(who)
    try:
        yield lambda: turns.check(who)
    finally:
        with turns.changed:
            turns.busy.discard(who)
            turns.changed.notify_all()


def end(system: System, run: str) -> bool:
    """Let a run commit nothing more; return whether the commit that was under way has stopped."""
    turns = _of(system)
    with turns.changed:
        while len(turns.over) >= MOST_OVER:
            del turns.over[next(iter(turns.over))]
        turns.over[run] = None
        return turns.changed.wait_for(lambda: run not in turns.busy, STOPS_S)
