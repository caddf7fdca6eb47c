"""PostgreSQL: every waiting row has a number and a code over the row before it, from the moment it is committed.

Attack: a trigger swallows the row, or the sequencer is stalled and the row deleted; the act is answered with OK, and
no line ever tells of it. A row that is not there is missed by its own transaction, by the next one in its lane, by
this process within a second, by the sequencer, and by `weighthouse audit verify`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from weakref import WeakKeyDictionary

from weighthouse.audit.api import clusters, growing, signing
from weighthouse.audit.events import LinesLost
from weighthouse.audit.model import Acknowledged, Gap
from weighthouse.audit.ports import LineMemory
from weighthouse.audit.rules import lanes as rules
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.audit.store.acknowledged import ProcessLines
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import Unavailable
from weighthouse.core.ids import new_id
from weighthouse.core.work import System, Unit

logger = logging.getLogger("weighthouse.audit")
IDLE_S = 3600.0
_LANE, _BEATS, _LAST_WORD = "audit-lane", "audit-beats", "audit-last-word"
REMEDY = (
    "Find out who writes the database. What is lost is lost: the line audit.LinesLost says which rows, and the "
    "operator accepts that with the ceremony `weighthouse audit accept-fork`, every server stopped."
)


class Lane:
    """One chain of this process. `number` and `code` are of its last committed row."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number, self.code, self.xid = 0, b"", 0
        self.used = time.monotonic()


class Lanes:
    """The lanes of one process: each transaction takes one and gives it back when it is over."""

    def __init__(self) -> None:
        self.writer, self._made = new_id("wri"), 0
        self._free: list[Lane] = []
        self._serving: Lane | None = Lane(rules.serving(self.writer))
        self._due: dict[str, deque[tuple[int, Millis]]] = {}  # what was committed, and since when it is waited for
        self._lock = threading.Lock()

    def take(self, *, beats: bool = False) -> Lane:
        """Return a lane that nobody uses: with `beats` that of the heartbeats, if it is free."""
        with self._lock:
            if beats and self._serving is not None:
                lane, self._serving = self._serving, None
                return lane
            while self._free:
                lane = self._free.pop()
                if time.monotonic() - lane.used < IDLE_S:  # others will not be used again, and may be forgotten
                    return lane
            return self._make()

    def make(self) -> Lane:
        """Return a lane that nobody has used."""
        with self._lock:
            return self._make()

    def _make(self) -> Lane:
        self._made += 1
        return Lane(f"{self.writer}.{self._made}")

    def give_back(self, lane: Lane) -> None:
        with self._lock:
            if rules.is_common(lane.name):
                self._free.append(lane)
            elif rules.serves(lane.name) and lane.used >= 0:
                self._serving = lane

    def acknowledged(self, lane: str, number: int, now: Millis) -> None:
        """Wait for a row that was committed; rows of the same second are waited for together."""
        with self._lock:
            rows = self._due.setdefault(lane, deque())
            since = rows.pop()[1] if len(rows) > 1 and now - rows[-1][1] < SECOND else now
            rows.append((number, since))

    def forget(self, lane: str) -> None:
        """Wait for no row of this lane: what is lost is told as lost."""
        with self._lock:
            self._due.pop(lane, None)

    def due(self, known: rules.Progress) -> dict[str, int]:
        """Return the last row of each lane that was committed and is not in the log."""
        with self._lock:
            last = {lane: rows[-1][0] for lane, rows in self._due.items() if rows}
        return {lane: number for lane, number in last.items() if known.reached(lane) < number}

    def oldest(self, known: rules.Progress) -> Millis | None:
        """Return since when the first row of this process is due that is not in the log."""
        with self._lock:
            for lane, rows in list(self._due.items()):
                while rows and rows[0][0] <= known.reached(lane):
                    rows.popleft()
                if not rows:
                    del self._due[lane]
            return min((rows[0][1] for rows in self._due.values()), default=None)


_lanes: WeakKeyDictionary[System, Lanes] = WeakKeyDictionary()


def memory(system: System) -> LineMemory:
    """Return the memory of acknowledged lines that the app bound; otherwise this process's own, once."""
    try:
        return system.part(LineMemory)
    except Unavailable:
        system.bind(LineMemory, ProcessLines())
        return system.part(LineMemory)


class Taken:
    """A lane in one transaction: where its chain stands if that commits."""

    def __init__(self, unit: Unit) -> None:
        self._system, self._all = unit.system, _lanes.setdefault(unit.system, Lanes())
        gone = {gap.lane for gap in memory(unit.system).lost()}
        last_word: str | None = unit.memo.get(_LAST_WORD)
        self.lane = Lane(last_word) if last_word else self._all.take(beats=_BEATS in unit.memo)
        while self.lane.name in gone:  # missed already, by somebody else than the next transaction
            self.lane = self._all.take()
        left = rules.left(self._all.writer)
        self.state = outbox.transaction(unit.conn, self.lane.name, self.lane.number, left)
        if self.state.xid <= self.lane.xid:  # rows of one lane are taken in the order of their transactions
            self._all.give_back(self.lane)
            self.lane = self._all.make()
        self.number, self.code = self.lane.number, self.lane.code
        self._at: Millis = unit.now
        unit.when_over(self._over)

    def _over(self, committed: bool | None) -> None:
        if committed is None:  # nobody can say; the chain may go on from either row, so it does not go on
            return
        if committed and self.number > self.lane.number:
            self.lane.number, self.lane.code, self.lane.xid = self.number, self.code, self.state.xid
            self.lane.used = time.monotonic()
            self._all.acknowledged(self.lane.name, self.number, self._system.clock.monotonic())
            try:
                memory(self._system).acknowledge(self.lane.name, self.number, self._at)
            except Unavailable:  # the change is durable: this process misses its row, only the next one would not
                logger.exception("a line was acknowledged, and only this process remembers it")
        self._all.give_back(self.lane)

    def drop(self) -> None:
        """Never use this lane again."""
        self.lane.used = -IDLE_S


def beat(unit: Unit) -> None:
    """Let what is stated in this transaction say that this process serves."""
    unit.memo[_BEATS] = True


def end(unit: Unit, writer: str) -> None:
    """Let what is stated in this transaction be the last word of process `writer`, whose lines are all in the log."""
    unit.memo[_LAST_WORD] = rules.left(writer)


def put(unit: Unit, leaves: list[bytes]) -> outbox.State:
    """Chain `leaves` in the transaction of their change, and see that they are there; return the outbox's state.

    Raises `audit.line_not_kept`, `audit.lines_lost` if the row before them is nowhere, `audit.server_left` if nobody
    waits for this process any more, and `audit.cluster_changed` if the sequencer could never take them: the log never
    had a floor above a transaction that can still write.
    """
    taken: Taken | None = unit.memo.get(_LANE)
    if taken is None:
        taken = unit.memo[_LANE] = Taken(unit)
        _check_serves(unit, taken)
        _check_last(unit, taken)
    state, rows = taken.state, []
    if state.xid < state.floor:
        raise clusters.changed()
    for leaf in leaves:
        number = taken.number + 1
        code = signing.chain_outbox(unit.system, state.epoch, state.xid, taken.lane.name, number, taken.code, leaf)
        rows.append(outbox.Row(state.xid, leaf, code, taken.lane.name, number, taken.code))
        taken.number, taken.code = number, code
    outbox.put(unit.conn, unit.now, rows)
    if outbox.kept(unit.conn, taken.lane.name, rows[0].number) != rows:
        raise growing.not_kept(len(rows))
    return state


def _check_serves(unit: Unit, taken: Taken) -> None:
    """A last word binds whom it was said for: no server waits for what this process refuses since."""
    if taken.state.told:
        taken.drop()
        if unit.stands:
            unit.stands = "What was said no to stands on this server alone until it has been started again."
        raise Unavailable(
            "audit.server_left",
            "The log tells that this server has left, so no other waits for what it says: it changes nothing more.",
            "Stop it and start it again; find out who ran another server over its state folder, or forgot it.",
        )


def _check_last(unit: Unit, taken: Taken) -> None:
    lane, state = taken.lane, taken.state
    if not lane.number or state.last_waits:
        return
    if known(unit).reached(lane.name) >= lane.number:
        return
    taken.drop()
    gap = Gap(lane.name, lane.number, lane.number)
    raise lose(unit.system, gap)


def lose(system: System, gap: Gap) -> Unavailable:
    """Remember a gap outside the database; return the refusal that carries its line."""
    memory(system).lose(gap)
    memory(system).retire(gap.lane)
    _lanes.setdefault(system, Lanes()).forget(gap.lane)
    logger.critical(
        "rows %d to %d of %s were committed and are nowhere: lines were lost", gap.first, gap.last, gap.lane
    )
    return Unavailable(
        "audit.lines_lost",
        f"Rows {gap.first} to {gap.last} of {gap.lane} were committed, never reached the log, and are gone.",
        REMEDY,
        record=[LinesLost(lane=gap.lane, first=gap.first, last=gap.last)],
    )


def known(unit: Unit) -> rules.Progress:
    """Return what the sealed head says of all lanes; raise `audit.tampered` if its seal does not hold."""
    head = store.read_head(unit.conn) if unit.system.database.dialect == "postgresql" else None
    if head is None:
        return rules.Progress()
    growing.check_seal(unit.system, head)
    return rules.progress(head.lanes)


def writer(system: System) -> str:
    """Return the name of this process in its lanes."""
    return _lanes.setdefault(system, Lanes()).writer


def due(system: System, known: rules.Progress) -> dict[str, int]:
    """Return the last row of each lane of this process that is on its way to the log."""
    return _lanes.setdefault(system, Lanes()).due(known)


def unsequenced(unit: Unit, known: rules.Progress) -> Millis:
    """Return for how long the first line that this very process committed has not come to the log, 0 if all have.

    Attack: rows in front of it and beside it make the outbox look young. This server knows what it wrote.
    """
    since = _lanes.setdefault(unit.system, Lanes()).oldest(known)
    return 0 if since is None else unit.system.clock.monotonic() - since


def gaps(unit: Unit, acknowledged: list[Acknowledged]) -> list[Gap]:
    """Return what is missing of what was acknowledged before this snapshot was opened."""
    waiting = outbox.lanes(
        unit.conn, [one.lane for one in acknowledged]
    )  # first: what has left the outbox since is in the head that is read after it
    reached = known(unit)
    found = (
        rules.missing(one.lane, one.number, reached.reached(one.lane), waiting.get(one.lane))
        for one in acknowledged
        if one.at > unit.now - rules.TOLD or one.lane in reached.lanes
    )
    return [gap for gap in found if gap is not None]


def refuse_if_lost(unit: Unit, what: str) -> None:
    """Raise `audit.lines_lost` if acknowledged lines are nowhere, and while such have not been accepted as lost."""
    acknowledged = memory(unit.system).acknowledged()
    if memory(unit.system).lost() or known(unit).lost or gaps(unit, acknowledged):
        raise Unavailable(
            "audit.lines_lost",
            f"Lines of the log were lost, so {what} may not happen until people have looked.",
            REMEDY,
        )
