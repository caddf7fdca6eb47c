"""The unit of work: one transaction that carries a change, its log entry and the kept answer. Guards against halves.

`begin` is the only way to write. If the work is refused, everything it did rolls back, and the facts that the refusal
carries (`error.record`) are committed in a transaction of their own before the refusal leaves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from weighthouse.core import faults, store
from weighthouse.core.caller import Caller
from weighthouse.core.clock import HOUR, LEAP_TOLERANCE, Clock, Millis, SystemClock, judge
from weighthouse.core.database import READ_ONLY, Database
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.ids import new_id
from weighthouse.core.settings import Settings

logger = logging.getLogger("weighthouse")

T = TypeVar("T")
PERSIST_EVERY: Millis = 1_000
ASTRAY: Millis = 2 * HOUR


class Recorder(Protocol):
    """Appends a fact to the log inside a unit; the app binds the audit room's `append`."""

    def __call__(self, unit: Unit, event: Event) -> None: ...


class Revocation(Protocol):
    """Raises if the credential of a unit's caller has ended since it was presented; the app binds the identity room's
    `check_under_way`."""

    def __call__(self, unit: Unit, caller: Caller) -> None: ...


class TimeKeeper:
    """Holds the high-water time of one process and decides when to persist it.

    A reading that cannot be believed ends things early in this process, and is never persisted: one wrong second of
    a time service would lock everybody out until that second comes.
    """

    def __init__(self, clock: Clock, high_water: Millis) -> None:
        self._clock = clock
        self._high_water = high_water
        self._persisted = high_water
        self._sound = high_water  # the latest time that nothing was wrong with
        self._doubted: Millis | None = None  # the earliest that was used since
        self._base: tuple[Millis, Millis] | None = None
        self._last: tuple[Millis, Millis] | None = None
        self._lock = threading.Lock()

    def read(self, database_now: Millis | None) -> tuple[Millis, str]:
        """Return the time to use and what is wrong with the clock, if anything: `ahead` of the time that has passed
        since the start, `late` behind it, `behind` the latest time used, or `apart` from this machine's by hours.

        Whoever rules the database rules its clock, and could keep an ended grant alive by stopping it, or let a young
        key grow up by advancing it. So time goes on at least as the monotonic clock does, and where database and
        machine are hours apart the later of both ends what ends, and nothing begins.
        """
        own = self._clock.now()
        wall = own if database_now is None else database_now
        trouble = "apart" if abs(own - wall) > ASTRAY else ""
        wall = max(own, wall) if trouble else wall
        with self._lock:
            # Leaps are measured on the clock that is used: on PostgreSQL the database's, never this machine's.
            self._last = (wall, self._clock.monotonic())
            if not trouble:
                self._base = self._base or self._last
            base = self._base or self._last
            expected = base[0] + self._last[1] - base[1]
            if expected - wall > LEAP_TOLERANCE:
                wall, trouble = expected, trouble or "late"
            reading = judge(wall, self._high_water, expected)
            trouble = trouble or ("ahead" if reading.leapt_ahead else "behind" if reading.stepped_back else "")
            if trouble == "" or (trouble == "late" and wall == reading.now):
                self._sound = max(self._sound, reading.now)
            if trouble == "":
                self._doubted = None
            else:
                self._doubted = min(reading.now, reading.now if self._doubted is None else self._doubted)
            self._high_water = max(self._high_water, reading.now)
        return reading.now, trouble

    @property
    def sound(self) -> Millis:
        """The latest time that nothing was wrong with."""
        return self._sound

    @property
    def doubted(self) -> Millis:
        """The earliest time that was used since the clock is in doubt; the latest sure one while it is not."""
        return self._sound if self._doubted is None else self._doubted

    def agrees(self, offset: Millis) -> bool:
        """Whether the wall clock stands where somebody who looked at it says: `offset` after the machine's start."""
        return self._last is not None and abs(self._last[0] - self._last[1] - offset) <= LEAP_TOLERANCE

    def confirm(self, offset: Millis) -> None:
        """Measure leaps from the present reading on, if it is the one that was confirmed.

        A leap that was wrong is taken back, never further than the latest time that nothing was wrong with.
        """
        with self._lock:
            if self._last is not None and self.agrees(offset):
                self._base = self._last
                self._sound = self._high_water = max(self._last[0], self._sound)

    def due(self) -> Millis | None:
        """The time to persist now, or None; never one that was only read from a clock that leapt."""
        return self._sound if self._sound - self._persisted >= PERSIST_EVERY else None

    def persisted(self, at: Millis) -> None:
        self._persisted = max(self._persisted, at)


class System:
    """Everything a room needs from outside, chosen once by the app: settings, clock, database and bound parts."""

    def __init__(self, settings: Settings, clock: Clock, database: Database) -> None:
        self.settings = settings
        self.clock = clock
        self.database = database
        self.changed = threading.Event()  # set after each commit, so that followers wake at once
        self._parts: dict[type, object] = {}
        self._time: TimeKeeper | None = None
        self._time_lock = threading.Lock()

    def bind(self, port: type[T], part: T) -> None:
        """Choose the adapter `part` for `port`."""
        self._parts[port] = part

    def part(self, port: type[T]) -> T:
        """Return the adapter bound for `port`; raise `core.part_missing` if the app chose none."""
        part = self._parts.get(port)
        if part is None:
            raise Unavailable(
                "core.part_missing",
                f"No adapter is bound for {port.__name__}, so what depends on it is refused.",
                "Start the server through `weighthouse serve`, which binds every part, or bind one in the test.",
            )
        return cast(T, part)

    def time(self, connection: Connection) -> TimeKeeper:
        with self._time_lock:
            if self._time is None:
                self._time = TimeKeeper(self.clock, store.read_high_water(connection))
            return self._time


class Unit:
    """One unit of work: a transaction, its time, its caller, and what must happen just before and after commit."""

    def __init__(
        self, system: System, conn: Connection, actor: Caller | None, request_id: str, *, read_only: bool
    ) -> None:
        self.system = system
        self.conn = conn
        self.actor = actor
        self._request_id = request_id
        self.read_only = read_only
        self.memo: dict[object, Any] = {}
        self.refuses = False
        self.stands = ""  # what counts even if this unit fails: its caller is told so
        self._before: list[Callable[[], None]] = []
        self._questions: list[Callable[[], None]] = []
        self._last: list[Callable[[], None]] = []
        self._after: list[Callable[[], object]] = []
        self._over: list[Callable[[bool | None], None]] = []
        self._outcome: bool | None = False
        keeper = system.time(conn)
        outside = system.database.now(conn) if isinstance(system.clock, SystemClock) else None
        self.now, self.clock_trouble = keeper.read(outside)
        self.keeper = keeper

    @property
    def clock_suspect(self) -> bool:
        """Whether the clock cannot be believed now; then nothing new begins."""
        return bool(self.clock_trouble)

    @property
    def sure(self) -> Millis:
        """The time by which something begins: while the clock cannot be believed, the latest that nothing was wrong
        with. Ends come by `now`, which may be too late a time and never too early a one."""
        return self.keeper.sound if self.clock_suspect else self.now

    @property
    def request_id(self) -> str:
        """The id of the request that this unit serves; made when first asked for, for most units write no line."""
        if not self._request_id:
            self._request_id = new_id("rqs")
        return self._request_id

    def part(self, port: type[T]) -> T:
        return self.system.part(port)

    def before_commit(self, act: Callable[[], None]) -> None:
        """Run `act` inside this transaction, after all other work and before commit."""
        self._before.append(act)

    def ask_last(self, question: Callable[[], None]) -> None:
        """Ask `question` after every wait of this unit, before anything is kept outside; it raises to refuse.

        Attack: have an act wait for a lock once it was decided, until the no to it was said and acknowledged.
        """
        self._questions.append(question)

    def last_before_commit(self, act: Callable[[], None]) -> None:
        """Run `act` when nothing but the commit itself could still refuse this unit: for what is kept outside."""
        self._last.append(act)

    def after_commit(self, act: Callable[[], object]) -> None:
        """Run `act` once the commit is durable. If it raises, the change stands and is acknowledged all the same."""
        self._after.append(act)

    def when_over(self, act: Callable[[bool | None], None]) -> None:
        """Call `act` when this transaction is over: True it committed, False it did not, None nobody can say."""
        self._over.append(act)

    def _commit(self) -> None:
        self._outcome = None
        try:
            self.conn.commit()
        except DBAPIError as error:
            if not faults.in_doubt(error):
                self._outcome = False
            raise
        self._outcome = True

    def _ask_again(self) -> None:
        """Refuse whose session or workload was ended while this unit was under way.

        Attack: let the act of a stolen session wait for a lock, until its owner has been told that the session is
        over. So it comes after every wait of this unit, and before anything is kept outside the database.
        """
        if self.actor is not None and self.actor.kind != "system" and not self.refuses:
            self.part(Revocation)(self, self.actor)
        if not self.refuses:
            for question in self._questions:
                question()

    def _finish(self) -> None:
        for act in self._before:
            act()
        due = self.keeper.due()
        if due is not None:
            # Last before commit: on PostgreSQL this row's lock must not be held through a long unit.
            store.raise_high_water(self.conn, due)
            self._after.append(lambda: self.keeper.persisted(due))
        self._ask_again()
        for act in self._last:
            act()
        self._commit()
        for later in self._after:
            try:
                later()
            except Exception:
                # The change is durable and must be acknowledged, whatever of its aftermath fails; what remains is
                # found again by its room's own timers.
                logger.exception("something after a commit failed; the change itself stands")
        self.system.changed.set()


@contextmanager
def begin(system: System, actor: Caller | None = None, *, request_id: str = "") -> Iterator[Unit]:
    """Open a unit that may write. Commits on leaving; on an exception rolls back, commits its `record`, re-raises.

    Raises `core.database_unavailable` when the database is busy, full or away, and `core.outcome_unknown` when it
    went away while it committed.
    """
    stands: list[str] = []
    try:
        with _unit(system, actor, request_id, read_only=False) as unit:
            unit.when_over(lambda done: None if done else stands.append(unit.stands))
            yield unit
            unit._finish()
    except WeighthouseError as refusal:
        refusal.message = " ".join([refusal.message, *filter(None, stands)])
        if refusal.record:
            _record(system, actor, request_id, refusal)
        raise


def _record(system: System, actor: Caller | None, request_id: str, refusal: WeighthouseError) -> None:
    append = system.part(Recorder)
    with _unit(system, actor, request_id, read_only=False) as unit:
        unit.refuses = True  # whatever becomes of the line, the answer is no
        for event in refusal.record:
            append(unit, event)
        unit._finish()
    refusal.record = ()  # an outer unit must not write the same fact twice


@contextmanager
def read(system: System, actor: Caller | None = None, *, request_id: str = "") -> Iterator[Unit]:
    """Open a unit on one snapshot that writes nothing; the `record` of a refusal is committed all the same."""
    try:
        with _unit(system, actor, request_id, read_only=True) as unit:
            yield unit
    except WeighthouseError as refusal:
        if refusal.record:
            _record(system, actor, request_id, refusal)
        raise


@contextmanager
def _unit(system: System, actor: Caller | None, request_id: str, *, read_only: bool) -> Iterator[Unit]:
    made: list[Unit] = []
    try:
        with system.database.engine.connect() as connection:
            if read_only and system.database.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            connection.execution_options(**{READ_ONLY: read_only})
            connection.begin()  # at once, so that the unit's time is read after the wait for its turn
            made.append(Unit(system, connection, actor, request_id, read_only=read_only))
            yield made[0]
    except (DBAPIError, PoolTimeout) as error:
        told = faults.explained(error)
        if told is None:  # a statement of our own is at fault
            raise
        doubt = bool(made) and made[0]._outcome is None and not made[0].refuses
        raise (faults.unknown(faults.fault(error)) if doubt else told) from error
    finally:  # after the connection was given back, so that a rollback is over as well
        for unit in made:
            for act in unit._over:
                act(unit._outcome)


def _retriable(error: BaseException | None) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in ("40001", "40P01")


def retry(system: System, actor: Caller | None, work: Callable[[Unit], T], attempts: int = 5) -> T:
    """Run `work` in a unit, again when the database chose it as the victim of a deadlock or serialization clash."""
    for attempt in range(attempts):
        try:
            with begin(system, actor) as unit:
                return work(unit)
        except Unavailable as error:
            if attempt == attempts - 1 or not _retriable(error.__cause__):
                raise
    raise AssertionError("unreachable")
