"""PostgreSQL: what each server tells the others, every few seconds: that it lives, and which lines it has committed.

Attack: take away what server A writes, before server B has seen a row of it: at B the log is on time and complete,
and what A revoked is allowed. So each server says, sealed and counted, up to where its lines go that are not in the
log yet, and for how long it has owed the log a no. One that is not heard for a minute, whose lines do not come, or
that owes for so long leaves the others behind; so does a word that does not stay for the server that wrote it.
Whoever stops says so, and who starts anew over a folder speaks for the process that died there.

Attack: record its words for a while, cut it off, and play them one after another. So a word names the newest that its
server has heard of each other one, and counts as said when that was: nobody has recorded an answer to this process.

Attack: take away the words too, from before server B starts, so that B has never heard of A. So the sealed head says
which servers there are: each has a heartbeat in the log before it serves, and a last word when all it wrote is there.

Attack: give each server a copy of the database, and carry over nothing but the words. So a word names the log that
its server reads, and counts as said to whoever reads one that continues it.

Attack: start a server over a copy, of which nobody else hears. So each serves once all others have answered it
(`meeting`), and nothing is answered but what was said by one who reads the same log.
"""

from __future__ import annotations

import logging
import threading
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit.api import appending, arrears, lanes, leaving, signing, waking
from weighthouse.audit.api.proving import consistency
from weighthouse.audit.api.reading import TrustedLog
from weighthouse.audit.api.waking import awake
from weighthouse.audit.rules import lanes as rules
from weighthouse.audit.rules import tree
from weighthouse.audit.store import servers as store
from weighthouse.core import signing as codes
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, Unit, begin, read

logger = logging.getLogger("weighthouse.audit")
EVERY: Millis = 5 * SECOND
REMEMBERED = 100  # times that this process spoke; what answers an older one is no news
MOST = 200
"""How many rows are read at most: more servers than that there are not, so more rows are somebody else's."""


class Said(msgspec.Struct, frozen=True):
    """What a server says: for the how manieth time, over which folder, whether it stops, which rows are due, for how
    long it has owed the log a no, how often each other server had spoken that it has heard, and the size and root (in
    hex) of the log that it reads."""

    beat: int
    folder: str
    left: bool
    due: dict[str, int]
    owes: Millis = 0
    heard: dict[str, int] = {}
    size: int = 0
    root: str = ""


class _Heard(msgspec.Struct):
    """What was heard of another server: the newest count, when it is known to have lived, which rows of it are
    waited for, whether it has heard this process, and whether it was found to read another log."""

    beat: int
    since: Millis
    left: bool
    due: dict[str, tuple[int, Millis]] = {}
    owes: Millis = 0
    answered: bool = False
    elsewhere: bool = False


class Servers:
    """What one process says and hears."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}
        self._beat, self._row = 0, b""
        self._spoke: dict[int, Millis] = {}  # when this process spoke for the how manieth time
        self._kept: Millis | None = None  # when its own word was last found as it wrote it
        self._foreign: Millis | None = None  # since when there have been rows that no server wrote
        self.asked = False  # whether one waits for this process to answer before it serves
        self._lock = threading.Lock()

    def say(self, unit: Unit, *, left: bool) -> None:
        """Say once more what this process has to say, after looking for what it said last."""
        name, now = lanes.writer(unit.system), awake(unit.system)
        found = store.find(unit.conn, name)
        if not self._beat:
            self._speak_for_the_last(unit)
        if self._kept is None or (found is not None and found.said == self._row):
            self._kept = now
        folder, due = lanes.memory(unit.system).folder(), lanes.due(unit.system, lanes.known(unit))
        with self._lock:
            heard = {one: other.beat for one, other in self._heard.items() if other.beat and not other.left}
            self.asked = False
        size, root = _log(unit)
        said = Said(self._beat + 1, folder, left, due, arrears.owed(unit), heard, size, root)
        row = _sealed(unit.system, name, said)
        store.put(unit.conn, row)
        self._beat, self._row = said.beat, row.said  # if this is not committed, the next look finds it so
        self._spoke[said.beat] = now
        self._spoke.pop(said.beat - REMEMBERED, None)

    def _speak_for_the_last(self, unit: Unit) -> None:
        """A process that died over this folder says nothing any more; what it promised is still waited for."""
        known, (size, root) = lanes.known(unit), _log(unit)
        for name, said in _read(unit)[0].items():
            own = said.folder == lanes.memory(unit.system).folder()
            if _is_over(said, known):
                if name not in known.serving():  # else its last word is still to come, and its own word explains it
                    store.drop(unit.conn, name)
            elif own and (said.owes or not said.left):  # what it owed this process owes, and says so itself
                gone = msgspec.structs.replace(said, beat=said.beat + 1, left=True, owes=0, size=size, root=root)
                store.put(unit.conn, _sealed(unit.system, name, gone))

    def hear(self, unit: Unit) -> list[tuple[str, Millis]]:
        """Return each server that is not heard or whose lines have not come, and for how long, the longest first."""
        now, known = awake(unit.system), lanes.known(unit)
        said, foreign = _read(unit)
        with self._lock:
            self._foreign = (self._foreign or now) if foreign else None
            for name, one in said.items():
                if name != lanes.writer(unit.system):
                    self._take(unit, name, one, known, now)
            self._know(unit, known, now)
            woke = waking.of(unit.system).woke
            found = [(name, self._age(one, known, now, woke)) for name, one in self._heard.items()]
            if self._kept is not None:
                found.append((lanes.writer(unit.system), now - self._kept))
            if self._foreign is not None:
                found.append(("of a forged row", now - self._foreign))
        return sorted(found, key=lambda one: -one[1])

    def unanswered(self, unit: Unit) -> list[str]:
        """Return the servers of which the log tells and which have not heard this process."""
        self.hear(unit)
        serving = lanes.known(unit).serving() - {lanes.writer(unit.system)}
        with self._lock:
            return sorted(name for name in serving if not (self._heard[name].answered or self._heard[name].left))

    def elsewhere(self, name: str) -> bool:
        """Whether the newest that was heard of a server is about another log than the one that is read here."""
        with self._lock:
            return name in self._heard and self._heard[name].elsewhere

    def _know(self, unit: Unit, known: rules.Progress, now: Millis) -> None:
        """Take from the log which servers there are, for rows of them may be hidden, and which have left."""
        for name in known.serving() - {lanes.writer(unit.system)}:
            self._heard.setdefault(name, _Heard(0, now, False))
        for name, one in self._heard.items():
            if known.has_left(name):
                one.left, one.owes, one.due = True, 0, {}

    def _take(self, unit: Unit, name: str, said: Said, known: rules.Progress, now: Millis) -> None:
        one = self._heard.get(name)
        if one is None:
            if _is_over(said, known):
                return
            one = self._heard[name] = _Heard(0, now, False)
        if said.beat <= one.beat:  # shown once more
            return
        continued = _continues(unit, name, said)
        one.elsewhere = continued is False
        if not continued:  # not said to us
            return
        answers = said.heard.get(lanes.writer(unit.system), 0)
        self.asked = self.asked or not one.beat
        one.beat, one.left, one.owes, one.answered = said.beat, said.left, said.owes, answers > 0
        one.since = max(one.since, self._spoke.get(answers, one.since))
        for lane, number in said.due.items():
            one.due.setdefault(lane, (number, now))

    def _age(self, one: _Heard, known: rules.Progress, now: Millis, woke: Millis | None) -> Millis:
        one.due = {lane: row for lane, row in one.due.items() if known.reached(lane) < row[0]}
        ages = [now - since for _, since in one.due.values()]
        silent = now - one.since
        if woke is not None and one.since <= woke:  # it may have said no while this process slept
            silent = max(silent, appending.LATE + 1)
        return max([*ages, 0 if one.left else silent, one.owes + silent if one.owes else 0])


_servers: WeakKeyDictionary[System, Servers] = WeakKeyDictionary()


def of(system: System) -> Servers:
    """Return what this process says and hears."""
    return _servers.setdefault(system, Servers())


def say(system: System, *, left: bool = False) -> None:
    """Tell the other servers, once this process has written lines; with `left`, for the last time."""
    if system.database.dialect != "postgresql":
        return
    with read(system) as unit:
        owes = arrears.owed(unit)
    if not owes and not lanes.memory(system).acknowledged():
        return
    with begin(system, SYSTEM) as unit:
        of(system).say(unit, left=left)
    if left:
        leaving.leave(system)
    else:
        with read(system) as unit:
            known, folder = lanes.known(unit), lanes.memory(system).folder()
            said = {name: one for name, one in _read(unit)[0].items() if one.folder == folder}
        for name in known.serving() & said.keys():
            if _is_over(said[name], known):
                leaving.end(system, name)


def answer(system: System) -> None:
    """Tell the others at once if one of them has spoken for the first time: it waits for that before it serves."""
    if of(system).asked:
        say(system)


def unheard(unit: Unit) -> list[tuple[str, Millis]]:
    """Return the servers that leave this one behind, and for how long, the longest first."""
    return of(unit.system).hear(unit) if unit.system.database.dialect == "postgresql" else []


def clear(unit: Unit, known: rules.Progress) -> None:
    """Wait for nobody any more: in the ceremony, with every server stopped."""
    store.drop(unit.conn)
    known.forget_servers()


def _read(unit: Unit) -> tuple[dict[str, Said], bool]:
    """Return what servers say, and whether there are rows that none of them wrote."""
    rows, said = store.rows(unit.conn, MOST), {}
    for row in rows:
        if codes.equal(row.seal, signing.seal_server(unit.system, row.name, row.said)):
            said[row.name] = msgspec.json.decode(row.said, type=Said)
    return said, len(said) < len(rows) or len(rows) == MOST


def _sealed(system: System, name: str, said: Said) -> store.Row:
    data = msgspec.json.encode(said)
    return store.Row(name, data, signing.seal_server(system, name, data))


def _log(unit: Unit) -> tuple[int, str]:
    """The size and the root of the log that this process reads; nothing that anybody believes if it is not whole."""
    try:
        head = TrustedLog(unit).head
    except WeighthouseError:
        return 0, ""
    return head.size, head.root.hex()


def _continues(unit: Unit, name: str, said: Said) -> bool | None:
    """Whether the log that is read here continues the one that is read where this was said; None if nobody can say,
    as while that one is longer."""
    try:
        head, root = TrustedLog(unit).head, bytes.fromhex(said.root)
        if not said.root or said.size > head.size:  # it could not say, or not yet
            return None
        proof = consistency(unit, said.size, head.size)
    except (ValueError, WeighthouseError):
        return None
    found = tree.verify_consistency(said.size, head.size, proof, root, head.root)
    if not found:
        logger.critical("the server %s reads another log, which this one does not continue", name)
    return found


def _is_over(said: Said, known: rules.Progress) -> bool:
    return said.left and _come(said.due, known) and not said.owes


def _come(due: dict[str, int], known: rules.Progress) -> bool:
    return all(known.reached(lane) >= number for lane, number in due.items())
