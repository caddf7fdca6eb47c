"""What every account has paid: by the ledger's rows and by this server's own books, whichever is more.

Guards budgets from whoever can write the database. A row that was deleted or lowered gives nothing back: this server
knows what it debited itself, also after a restart. What another server debited stands in rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weighthouse.core.clock import Millis
from weighthouse.core.work import Unit
from weighthouse.egress import store
from weighthouse.egress.events import TamperFound
from weighthouse.egress.model import WINDOWS, Key
from weighthouse.egress.ports import Books

_PENDING = "debits of egress"


def spent(unit: Unit, key: Key, now: Millis) -> dict[Millis, int]:
    """Return the bytes debited in each sliding window; the oldest bucket counts whole, on the safe side."""
    mine, rows = _own(unit, key), store.spent(unit.conn, key, now)
    return {span: max(rows[span], _since(mine, store.oldest(now, span))) for span in WINDOWS}


def _since(mine: Mapping[int, int], oldest: int) -> int:
    return sum(count for bucket, count in mine.items() if bucket >= oldest)


def buckets(unit: Unit, key: Key) -> dict[int, int]:
    """Return the bytes of an account by bucket."""
    mine, rows = _own(unit, key), store.buckets(unit.conn, key)
    return {bucket: max(rows.get(bucket, 0), mine.get(bucket, 0)) for bucket in sorted({*mine, *rows})}


def own(unit: Unit, key: Key) -> int:
    """What this server alone has debited from an account, as far back as any window reaches."""
    return sum(_own(unit, key).values())


def _own(unit: Unit, key: Key) -> dict[int, int]:
    """What this server has debited, and what this very unit has."""
    mine = dict(unit.part(Books).of(key))
    for bucket, count in unit.memo.get(_PENDING, {}).get(key, {}).items():
        mine[bucket] = mine.get(bucket, 0) + count
    return mine


def debit(unit: Unit, key: Key, bucket: int, count: int) -> None:
    """Add bytes to an account's bucket; a negative count hands back what was lent from that same bucket."""
    store.debit(unit.conn, key, bucket, count)
    pending = unit.memo.get(_PENDING)
    if pending is None:
        pending = unit.memo[_PENDING] = {}
        _keep(unit, pending)
    found = pending.setdefault(key, {})
    found[bucket] = found.get(bucket, 0) + count


def _keep(unit: Unit, pending: dict[Key, dict[int, int]]) -> None:
    """Write the books when nothing but the commit can still refuse this unit; take back what it then did not do."""
    books, kept = unit.part(Books), list[tuple[Key, int, int]]()

    def keep() -> None:
        lines = [(key, bucket, count) for key, found in pending.items() for bucket, count in found.items()]
        books.add(lines)
        kept.extend(lines)
        pending.clear()

    def over(done: bool | None) -> None:
        if done is False and kept:
            books.add([(key, bucket, -count) for key, bucket, count in kept])

    unit.last_before_commit(keep)
    unit.when_over(over)


def mend(unit: Unit, keys: Iterable[Key]) -> list[TamperFound]:
    """Put right the rows of these accounts, which are locked, and return a line for each that said too little."""
    return [
        TamperFound(what=f"{key.level} {key.name}", code="egress.ledger_row") for key in keys if _mended(unit, key)
    ]


def _mended(unit: Unit, key: Key) -> bool:
    mine, said = _own(unit, key), store.spent(unit.conn, key, unit.now)
    if all(said[span] >= _since(mine, store.oldest(unit.now, span)) for span in WINDOWS):
        return False
    rows, oldest = store.buckets(unit.conn, key), store.oldest(unit.now, max(WINDOWS))
    for bucket in {bucket for bucket in (*mine, *rows) if bucket >= oldest}:
        lacking = max(mine.get(bucket, 0), 0) - rows.get(bucket, 0)
        if lacking > 0:
            store.debit(unit.conn, key, bucket, lacking)
    return True
