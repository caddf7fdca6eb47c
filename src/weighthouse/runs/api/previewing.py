"""Which open runs a hold would end or keep from starting. Guards who places it from a guess; decides nothing."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.runs import store
from weighthouse.runs.api.sealing import believed
from weighthouse.runs.model import Run
from weighthouse.weights import api as weights


def stopped_by(unit: Unit, hold: access.Hold) -> list[Run]:
    """Return the open runs that this hold stands against: by their model, their data, what they load.

    A row that is not believed is none of them: such a run never begins, and one that goes on asks for itself.
    """
    found = filter(None, (believed(unit, kept) for kept in store.open_runs(unit.conn)))
    return [run for run in found if _is_stopped(unit, hold, run)]


def _is_stopped(unit: Unit, hold: access.Hold, run: Run) -> bool:
    order = run.order
    if any(access.would_stop(unit, hold, "run.submit", one, run.owner) for one in (order.model, order.dataset)):
        return True
    had = dict(weights.opened(unit, run.id))
    if order.parent is not None:
        try:
            had[order.parent] = weights.model_of(unit, order.parent)
        except WeighthouseError:
            return False  # it will not start for that
    return any(access.would_stop(unit, hold, "weights.load", model, run.owner, one) for one, model in had.items())
