"""The signals of late, as the log tells them. Guards rules from rows: one too many accuses, one too few hides.

Attack: insert the signal of an entry that is yet to come, and it counts as handled; delete a few, and a spray is
none. So each process folds the lines themselves, one after another, from twice the window back. What is kept is
bounded in time and in size; of one account on one network only the newest few attempts are kept, so that repeating it
cannot push other accounts out of the window.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.work import System, Unit
from weighthouse.detect.model import MOST_ACCOUNTS, MOST_READS, Attempt, Read
from weighthouse.detect.rules import facts

PER_ACCOUNT = 4
PER_NETWORK = PER_ACCOUNT * MOST_ACCOUNTS
PER_PERSON = MOST_READS + 48
PAGE = 2_000
MOST = 200_000  # of all networks, or people, together; those that were quiet for longest go first


class _Signal(Protocol):
    @property
    def index(self) -> int: ...

    @property
    def at(self) -> Millis: ...


T = TypeVar("T", bound=_Signal)


class _Kept(Generic[T]):
    """What one process keeps: signals by their network or person, and up to which entry it has folded the log."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.next = self.fetched = -1
        self.ahead: deque[audit.Entry] = deque()
        self.found: OrderedDict[str, list[T]] = OrderedDict()
        self.count = 0


class Signals(Generic[T]):
    """The signals that the lines of some kinds make, by `key`. `trim` says which of one key are worth keeping."""

    def __init__(
        self,
        kinds: Sequence[str],
        make: Callable[[audit.Entry], T | None],
        key: Callable[[T], str],
        trim: Callable[[list[T]], list[T]],
    ) -> None:
        self._lines = tuple(audit.Lines(kind, by="") for kind in sorted(kinds))
        self._make, self._key, self._trim = make, key, trim
        self._of: WeakKeyDictionary[System, _Kept[T]] = WeakKeyDictionary()

    def upto(self, unit: Unit, entry: audit.Entry, key: str, span: Millis) -> list[T]:
        """Return what is kept for `key` once everything up to `entry` is folded; handled twice, it counts once."""
        kept = self._of.setdefault(unit.system, _Kept())
        with kept.lock:
            if entry.index >= kept.next:
                self._fold(unit, kept, entry, span)
            return list(kept.found.get(key, ()))

    def _fold(self, unit: Unit, kept: _Kept[T], entry: audit.Entry, span: Millis) -> None:
        if kept.next < 0:
            kept.next = kept.fetched = min(lines.since(unit, entry.at - span) for lines in self._lines)
        while kept.next <= entry.index:
            if not kept.ahead and kept.fetched <= entry.index:
                self._fetch(unit, kept)
            while kept.ahead and kept.ahead[0].index <= entry.index:
                one = self._make(kept.ahead.popleft())
                if one is not None:
                    self._keep(kept, one, span)
            kept.next = min(kept.fetched, entry.index + 1)

    def _fetch(self, unit: Unit, kept: _Kept[T]) -> None:
        """Read on by a page, as far as every kind was read, so that the next entries ask for nothing."""
        size = audit.head(unit).size  # first: lines may join the log between two looks
        found = [lines.of(unit, start=kept.fetched, end=size, limit=PAGE) for lines in self._lines]
        end = min((lines[-1].index + 1 for lines in found if len(lines) == PAGE), default=size)
        kept.ahead.extend(sorted((one for lines in found for one in lines if one.index < end), key=_index))
        kept.fetched = end

    def _keep(self, kept: _Kept[T], one: T, span: Millis) -> None:
        key = self._key(one)
        mine = kept.found.pop(key, [])
        kept.count -= len(mine)
        mine = self._trim([old for old in (*mine, one) if old.at >= one.at - span])
        kept.found[key] = mine
        kept.count += len(mine)
        while kept.found:
            oldest = next(iter(kept.found.values()))
            if kept.count <= MOST and oldest[-1].at >= one.at - span:
                return
            kept.count -= len(kept.found.popitem(last=False)[1])


def _index(entry: audit.Entry) -> int:
    return entry.index


def _newest(signals: list[T], count: int) -> list[T]:
    return signals[-count:]


def _trim_attempts(mine: list[Attempt]) -> list[Attempt]:
    same = [one for one in mine if one.account == mine[-1].account]
    gone = {one.index for one in same[:-PER_ACCOUNT]}
    return _newest([one for one in mine if one.index not in gone], PER_NETWORK)


_attempts: Signals[Attempt] = Signals(
    ("identity.SessionStarted", "identity.SignInFailed"),
    lambda entry: facts.attempt(entry.index, entry.at, entry.kind, entry.data),
    lambda one: one.network,
    _trim_attempts,
)
_reads: Signals[Read] = Signals(
    sorted(facts.READ_KINDS),
    lambda entry: facts.read(entry.index, entry.at, entry.kind, entry.data),
    lambda one: one.person,
    lambda mine: _newest(mine, PER_PERSON),
)


def attempts_from(unit: Unit, entry: audit.Entry, network: str, window: Millis) -> list[Attempt]:
    """Return the kept attempts from one network, up to the one that `entry` tells of."""
    return _attempts.upto(unit, entry, network, 2 * window)


def reads_by(unit: Unit, entry: audit.Entry, person: str, window: Millis, after: int) -> list[Read]:
    """Return the kept reads of one person that no earlier alert has answered: those with an index above `after`."""
    return [one for one in _reads.upto(unit, entry, person, 2 * window) if one.index > after]
