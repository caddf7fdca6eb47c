"""What one run has had taken over in all. Guards everybody's commits from a run that commits again and again.

Each commit has its shards copied to the object store, and a run that never stops would fill its volume until nobody
can commit. So the sum of a run is limited by a setting, and by half of what the volume would hold without it: what is
left for others is never less than what one run has. A run speaks to one server alone and ends with it, so the sum is
kept in that process, where no row can lower it.
"""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from weighthouse.core.errors import Invalid
from weighthouse.core.work import System
from weighthouse.weights.model import setting
from weighthouse.weights.ports import ObjectStore

MIB = 1 << 20
Shard = tuple[str, str]
_taken: WeakKeyDictionary[System, dict[str, dict[Shard, int]]] = WeakKeyDictionary()
_lock = threading.Lock()


def reserve(system: System, run: str, wanted: dict[Shard, int]) -> list[Shard]:
    """Count the bytes of shards, by save and name, before the first is copied; return those not counted before.

    Raises Invalid `weights.run_full`, and then counts none of them. People are not counted, only runs.
    """
    if not run:
        return []
    free = system.part(ObjectStore).room()
    chosen = setting(system.settings, "weights.run_committed_mib")
    assert isinstance(chosen, int)
    with _lock:
        held = _taken.setdefault(system, {}).setdefault(run, {})
        # What is there already is never replaced: `take` refuses another length for it, which changes no sum.
        fresh = {shard: length for shard, length in wanted.items() if shard not in held}
        most = chosen * MIB if free is None else min(chosen * MIB, (free + sum(held.values())) // 2)
        if sum({**held, **fresh}.values()) > most:
            raise Invalid(
                "weights.run_full",
                "With this save, the run would have committed more than one run may in all.",
                "Commit fewer versions in one run; the operator raises weights.run_committed_mib, or frees space.",
            )
        held.update(fresh)
    return list(fresh)


def give_back(system: System, run: str, shards: list[Shard]) -> None:
    """Count shards no longer of which nothing was kept."""
    with _lock:
        for shard in shards:
            _taken.get(system, {}).get(run, {}).pop(shard, None)


def end(system: System, run: str) -> None:
    """Forget a run that is over, and commits nothing more."""
    with _lock:
        _taken.get(system, {}).pop(run, None)
