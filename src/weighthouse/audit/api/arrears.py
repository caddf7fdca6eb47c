"""A no that a server keeps and the log does not tell yet: for how long. Guards other servers from never hearing it.

Attack: lock one table, so that what is said no to stands at this server alone, and its change and line are committed
never. So what is owed has an age, as a line that waits has: by the time it was said, and by this process's own waking
time since it was first met, which no database knows. Rooms say what they owe; here it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from weighthouse.audit.api import clusters, growing
from weighthouse.audit.api.waking import awake
from weighthouse.audit.rules import leaf as leaves
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.work import System, Unit

Owing = Callable[[System], Iterable[tuple[str, Millis]]]
"""Returns the id of each no that the log does not tell yet, and when it was said."""
_rooms: list[Owing] = []
_met: WeakKeyDictionary[System, dict[str, Millis]] = WeakKeyDictionary()


def count_owed(owing: Owing) -> None:
    """Let what a room owes count."""
    _rooms.append(owing)


def owed(unit: Unit) -> Millis:
    """Return for how long the oldest no has been owed, 0 if none is."""
    system, now = unit.system, awake(unit.system)
    since = {id_: at for owing in _rooms for id_, at in owing(system)}
    before = _met.get(system, {})
    met = _met[system] = {id_: before.get(id_, now) for id_ in since}
    return max((max(unit.now - at, now - met[id_], 1) for id_, at in since.items()), default=0)


def on_its_way(unit: Unit, kind: str) -> list[dict[str, Any]]:
    """Return what the waiting lines of a kind say: what is committed is not owed once more."""
    if unit.system.database.dialect != "postgresql":
        return []
    head, found = store.read_head(unit.conn) or growing.EMPTY_HEAD, []
    for row in outbox.everything(unit.conn):
        if kind.encode() not in row.leaf:
            continue
        try:
            said = leaves.parse(row.leaf)
        except Invalid:
            continue
        if said.kind == kind and clusters.genuine(unit, row, head):
            found.append(dict(said.data))
    return found
