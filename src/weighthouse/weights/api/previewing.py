"""Which leases and orders a hold would stop. Guards who places it from a guess; decides nothing."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.work import Unit
from weighthouse.weights import store
from weighthouse.weights.api import ends
from weighthouse.weights.api.destroying import ACTION
from weighthouse.weights.events import LoadStarted

_LEASED = audit.Lines(LoadStarted.KIND, by="lease")


def leases_stopped_by(unit: Unit, hold: access.Hold) -> list[str]:
    """The leases that run now and would not be renewed, as the log tells who has them of what."""
    found = []
    for lease in store.live_leases(unit.conn, unit.now):
        line = _LEASED.newest(unit, lease)
        if line is None:
            continue  # the log of PostgreSQL tells of it in a moment
        said = line.data
        if access.would_stop(unit, hold, "weights.load", said["model"], said["person"], said["version"]):
            found.append(lease)
    return found


def orders_stopped_by(unit: Unit, hold: access.Hold) -> list[str]:
    """The versions whose destruction is ordered and would be undone at its end."""
    return [
        str(order.data["version"])
        for order in ends.open_orders(unit)
        if access.would_stop(
            unit, hold, ACTION, order.data["model"], order.data["person"], str(order.data["version"])
        )
    ]
