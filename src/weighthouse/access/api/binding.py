"""Which grant a run works under. Guards a narrow grant from being widened by another one of its owner's.

A run that was submitted under a grant is pinned to it. One that was submitted under a standing entitlement is bound,
for each resource, to the first grant that serves it: to the narrowest there is, by a line of its own. What its owner
is given later, or holds beside it, opens that resource no further to this run, and the run ends with that grant.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from weakref import WeakKeyDictionary

from weighthouse.access.events import WorkloadBound
from weighthouse.access.model import WORKLOAD_GRANT, Decision
from weighthouse.access.store import bindings as store
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.work import System, Unit

_BOUND = audit.Lines(WorkloadBound.KIND)
_MOST = 20_000
# What this process has bound, for on PostgreSQL the log shows it a moment later. A row is no proof: whoever writes
# the database could have a run begin under the widest grant, without a line.
_own: WeakKeyDictionary[System, OrderedDict[str, dict[str, str]]] = WeakKeyDictionary()
_lock = threading.Lock()


def bound(unit: Unit, workload: str) -> dict[str, str]:
    """Return the grants that a run is bound to, by resource: the first that the log names, or this process knows."""
    with _lock:
        kept = _own.get(unit.system)
        found = dict(kept.get(workload, {})) if kept else {}
    found.update(unit.memo.get((_BOUND, workload), {}))
    for entry in _BOUND.of(unit, workload, newest_first=True):
        found[str(entry.data["resource"])] = str(entry.data["grant"])
    return found


def pinned(unit: Unit, caller: Caller, resource: str) -> str | None:
    """Return the one grant that may serve this caller on a resource, None if any of its person's may."""
    if caller.kind != "workload":
        return None
    return caller.attributes.get(WORKLOAD_GRANT) or bound(unit, caller.principal).get(resource)


def bind(unit: Unit, caller: Caller, decision: Decision) -> None:
    """Bind a run that no grant was pinned to, in the transaction of its first use of one."""
    if caller.kind != "workload" or decision.grant is None or pinned(unit, caller, decision.resource):
        return
    store.put(unit.conn, caller.principal, decision.resource, decision.grant)
    _remember(unit, caller.principal, decision.resource, decision.grant)
    line = WorkloadBound(
        workload=caller.principal, resource=decision.resource, grant=decision.grant, action=decision.action
    )
    audit.append(unit, line)


def _remember(unit: Unit, workload: str, resource: str, grant: str) -> None:
    """Keep a binding just before its unit is committed, and let go of it if it is not."""
    system = unit.system
    unit.memo.setdefault((_BOUND, workload), {})[resource] = grant

    def keep() -> None:
        with _lock:
            kept = _own.setdefault(system, OrderedDict())
            kept.setdefault(workload, {})[resource] = grant
            while len(kept) > _MOST:
                kept.popitem(last=False)

    def over(done: bool | None) -> None:
        if done is False:
            with _lock:
                _own.get(system, OrderedDict()).get(workload, {}).pop(resource, None)

    unit.last_before_commit(keep)
    unit.when_over(over)
