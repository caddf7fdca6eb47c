"""The public face of runs. Guards its callers from having to know how a run is executed.

People `submit`, `get`, `page`, `logs` and `stop`; a workload takes its `workload_token` and `report`s; followers
`look_again` at what may have ended; the runner of this room uses `executing`.
"""

from weighthouse.runs.api.previewing import stopped_by
from weighthouse.runs.api.submitting import environments, submit
from weighthouse.runs.api.watching import (
    curve,
    get,
    listing,
    logs,
    look_again,
    note_foreign_peer,
    page,
    report,
    stop,
    tail,
    workload_token,
)
from weighthouse.runs.model import OPEN, Environment, Facts, LogLine, Order, Point, Run, settings
from weighthouse.runs.ports import Gates

__all__ = [
    "OPEN",
    "Environment",
    "Facts",
    "Gates",
    "LogLine",
    "Order",
    "Point",
    "Run",
    "curve",
    "environments",
    "get",
    "listing",
    "logs",
    "look_again",
    "note_foreign_peer",
    "page",
    "report",
    "settings",
    "stop",
    "stopped_by",
    "submit",
    "tail",
    "workload_token",
]
