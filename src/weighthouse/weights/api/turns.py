"""One commit of a run at a time, and none of a run that is over. Guards the store and the threads that answer runs.

A run that sends the same commit sixty times would have its shards copied sixty times side by side, and one that has
ended would have them copied still. Of those that come while another commit of the same run is under way a few wait
here, for a while; the others are told when to come again, which is no refusal (`Retry-After`). Who comes sooner is
refused at once, which counts; when a run ends, its commit stops at the next segment, and only then is what it left
removed. Runs speak to one server alone, so this is kept in that process.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from weighthouse.core.errors import Conflict
from weighthouse.core.work import System

MOST_OVER = 10_000  # a request that was let in before its run ended does not outlast so many others
STOPS_S = 30
WAITS_S = 2.0
WAITING, ALL_WAITING = 2, 8  # each holds a thread that answers runs, of which there are forty
AGAIN_S = 2


class Turns:
    """Who commits in this process, who waits for that, who was told to come again, and which runs are over."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.busy: set[str] = set()
        self.waiting: Counter[str] = Counter()
        self.told: dict[str, dict[str, float]] = {}
        self.over: dict[str, None] = {}

    def check(self, who: str) -> None:
        if who in self.over:
            raise Conflict("weights.run_over", "The run has ended, so nothing of it is committed.", "Run it again.")

    def wait(self, who: str) -> bool:
        """Wait for the commit of `who` that is under way, where not too many do; return whether it has ended."""
        if self.waiting[who] >= WAITING or self.waiting.total() >= ALL_WAITING:
            return False
        self.waiting[who] += 1
        try:
            return self.changed.wait_for(lambda: who not in self.busy or who in self.over, WAITS_S)
        finally:
            self.waiting[who] -= 1

    def too_soon(self, who: str, save: str, now: float) -> bool:
        """Whether this save was told to come again later than now."""
        return now < self.told.get(who, {}).get(save, now)

    def tell(self, who: str, save: str, now: float) -> None:
        """Remember when this save may come again; what has passed is forgotten, so that it does not grow."""
        left = {one: until for one, until in self.told.get(who, {}).items() if until > now}
        self.told[who] = {**left, save: now + AGAIN_S}


_turns: WeakKeyDictionary[System, Turns] = WeakKeyDictionary()
_lock = threading.Lock()


def _of(system: System) -> Turns:
    with _lock:
        return _turns.setdefault(system, Turns())


@contextmanager
def turn(system: System, who: str, save: str) -> Iterator[Callable[[], None]]:
    """Be the one commit of `who`; yields what raises once the run is over. `save` is one that is really theirs.

    Raises Conflict `weights.commit_busy` while there is another one, `weights.run_over`.
    """
    turns = _of(system)
    with turns.changed:
        turns.check(who)
        if who in turns.busy:
            if turns.too_soon(who, save, time.monotonic()):
                raise _busy("It was sent again before the time that was named.")
            if not turns.wait(who):
                turns.tell(who, save, time.monotonic())
                raise _busy(f"Send this one again after {AGAIN_S} seconds.", retry_after=AGAIN_S)
            turns.check(who)
        turns.busy.add(who)
    try:
        yield lambda: turns.check(who)
    finally:
        with turns.changed:
            turns.busy.discard(who)
            turns.changed.notify_all()


def _busy(how: str, **details: int) -> Conflict:
    said = f"Another commit of this run is being copied and checked. {how}"
    remedy = "Wait for its answer, then send this one; the SDK does so by itself."
    return Conflict("weights.commit_busy", said, remedy, record=(), **details)


def end(system: System, run: str) -> bool:
    """Let a run commit nothing more; return whether the commit that was under way has stopped."""
    turns = _of(system)
    with turns.changed:
        while len(turns.over) >= MOST_OVER:
            del turns.over[next(iter(turns.over))]
        turns.over[run] = None
        turns.told.pop(run, None)
        turns.changed.notify_all()
        return turns.changed.wait_for(lambda: run not in turns.busy, STOPS_S)
