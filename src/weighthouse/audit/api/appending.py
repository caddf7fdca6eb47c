"""Appending facts. Guards the promise that a change and its entry are one transaction, with canonical bytes.

On SQLite the entries of a unit join the tree just before its commit; on PostgreSQL they join the outbox, which the
one sequencer drains. Either way a change that commits has its entry, and one that does not has none.
"""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary, WeakSet

from weighthouse.audit.api import growing, lanes
from weighthouse.audit.api.waiting import watch
from weighthouse.audit.events import Heartbeat
from weighthouse.audit.model import OWED_WORDS, Leaf
from weighthouse.audit.rules import leaf as leaves
from weighthouse.audit.store import log as store
from weighthouse.audit.store import readers
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import MINUTE, SECOND, Millis
from weighthouse.core.errors import TooMany, Unavailable
from weighthouse.core.events import Event
from weighthouse.core.work import System, Unit, begin

_PENDING, _GRAVE = "audit.pending", "audit.grave-fact"
LATE: Millis = MINUTE
"""How long an entry may wait for the sequencer before the log counts as late."""
damage: WeakKeyDictionary[System, str] = WeakKeyDictionary()
"""What the running check found wrong in the stored log of a system, until it is whole again."""
_beating: WeakSet[System] = WeakSet()


def prepare(unit: Unit, event: Event) -> tuple[Leaf, bytes]:
    """Return the leaf of `event` and its bytes, keeping personal values aside in this transaction.

    Words of this software are nobody's: a no that is owed needs no other table for its line."""
    actor = unit.actor.principal if unit.actor else ""
    data = event.data()
    personal = {name for name in event.PERSONAL if data.get(name) not in OWED_WORDS}
    if personal:
        data, kept = leaves.conceal(
            data, personal, leaves.owner_of(data, actor), lambda: os.urandom(leaves.SALT_BYTES)
        )
        if kept:
            readers.keep_personal(unit.conn, kept)
    leaf = Leaf(
        kind=event.KIND,
        version=event.VERSION,
        at=unit.now,
        actor=actor,
        request=unit.request_id,
        subject=event.subject(),
        data=data,
    )
    return leaf, leaves.build(leaf)


def append(unit: Unit, event: Event) -> None:
    """Append `event` to the log in the transaction of `unit`.

    Raises at once `core.not_canonical`, `audit.entry_too_large` or `audit.read_only`; and at commit, so that the
    change is refused with it, whatever makes the log unfit to be signed (`audit.tampered`, `audit.log_smaller`,
    `audit.log_forked`, `audit.memory_missing`), `audit.backlog_full`, or for a grave fact `audit.log_late`.
    """
    if unit.read_only:
        raise Unavailable(
            "audit.read_only",
            f"The fact {event.KIND} was stated in a unit that writes nothing, so it would be lost.",
            "This is a defect of the calling room: open the unit with `begin`.",
        )
    prepared = prepare(unit, event)
    if event.GRAVE:
        unit.memo[_GRAVE] = event.KIND
    pending: list[tuple[Leaf, bytes]] | None = unit.memo.get(_PENDING)
    if pending is None:
        unit.memo[_PENDING] = pending = []
        unit.before_commit(lambda: _flush(unit))
    pending.append(prepared)


def _flush(unit: Unit) -> None:
    # Taken out first: an act that runs before commit after this one may append again, and then asks for its own
    # flush.
    pending: list[tuple[Leaf, bytes]] = unit.memo.pop(_PENDING)
    if _GRAVE in unit.memo:
        _refuse_if_unfit(unit, unit.memo[_GRAVE])
    if unit.system.database.dialect == "sqlite":
        growing.extend(unit, pending)
        return
    limit = unit.system.settings.integer("log.backlog")
    waiting = lanes.put(unit, [data for _, data in pending]).waiting
    if waiting > limit:
        raise TooMany(
            "audit.backlog_full",
            f"{waiting} log entries wait for the sequencer, more than the {limit} allowed, so no change is accepted.",
            "Find out why the sequencer stands still: it logs the reason on the server that leads.",
        )


def _refuse_if_unfit(unit: Unit, kind: str) -> None:
    damaged = damage.get(unit.system)
    if damaged:
        raise growing.tampered(f"{damaged}, and {kind} may happen only while the log is whole")
    if unit.system.database.dialect == "postgresql":
        _refuse_if_late(unit, kind)


def _refuse_if_late(unit: Unit, kind: str) -> None:
    lanes.refuse_if_lost(unit, kind)
    late = watch(unit.system).look(unit)[1]
    if unit.system in _beating and (silent := overdue(unit)):
        late = max(late, silent + LATE)  # an empty outbox is not on time when no heartbeat has come through it
    if late > LATE:
        raise Unavailable(
            "audit.log_late",
            f"Entries have waited for the log's sequencer for {late // SECOND} s, and {kind} may "
            "happen only while the log takes entries.",
            "Find out why the sequencer stands still: it logs the reason on the server that leads. Then try again.",
        )


def _every_s(system: System) -> int:
    return system.settings.integer("log.heartbeat_s")


def heartbeat(system: System) -> None:
    """Append one heartbeat, so that a silent or a cut log is seen by its missing heartbeats."""
    with begin(system, SYSTEM) as unit:
        unit.after_commit(lambda: _beating.add(system))
        lanes.beat(unit)
        stored = store.read_head(unit.conn)
        append(unit, Heartbeat(size=stored.size if stored else 0, every_s=_every_s(system)))


def overdue(unit: Unit) -> Millis:
    """Return for how long two heartbeats have been missing, 0 if the log is alive: an alarm for a cut tail."""
    stored = store.read_head(unit.conn)
    silent = unit.now - (stored.at if stored else 0)
    if stored and unit.system.database.dialect == "postgresql":  # where `at` alone is anybody's word
        silent = max(silent, watch(unit.system).still(unit, stored.size))
    return max(0, silent - 2 * _every_s(unit.system) * SECOND)
