"""Which leases and orders a hold would stop. Guards who places it from a guess; decides nothing."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.work import Unit
from weighthouse.weights import store
from weighthouse.weights.api import ending, ends
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
    """The versions, and the models, whose destruction is ordered and would be undone at its end."""
    versions = [
        str(order.data["version"])
        for order in ends.VERSIONS.open(unit)
        if access.would_stop(
            unit, hold, ACTION, order.data["model"], order.data["person"], str(order.data["version"])
        )
    ]
    return [*versions, *(model for model, person in _models(unit) if _stops(unit, hold, model, person))]


def _models(unit: Unit) -> list[tuple[str, str]]:
    return [(str(order.data["model"]), str(order.data["person"])) for order in ends.MODELS.open(unit)]


def _stops(unit: Unit, hold: access.Hold, model: str, person: str) -> bool:
    named = ("", *ending.versions_of(unit, model))
    return any(access.would_stop(unit, hold, ending.ACTION, model, person, version) for version in named)
