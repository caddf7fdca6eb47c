"""The public face of governance. Guards its callers from knowing where the count comes from: the log, not the rows.

Members `place_release_hold`, `open_motion`, `cast` and `close`; everybody who may see it asks `release_status`.
"""

from weighthouse.governance.api.charter import charter_of, seats, vacancies
from weighthouse.governance.api.closing import close
from weighthouse.governance.api.deciding import cast, motion, motions, motions_page, open_motion
from weighthouse.governance.api.holding import bind_calls, place_release_hold, release_status
from weighthouse.governance.api.previewing import preview_hold
from weighthouse.governance.api.stopped import show_hold, stopped_page
from weighthouse.governance.model import (
    CHOICES,
    CLASSES,
    Ballot,
    Charter,
    HoldPreview,
    HoldShown,
    Motion,
    MotionView,
    ReleaseStatus,
    Seat,
    StoppedAct,
    Stopping,
    ballot_statement,
)

__all__ = [
    "CHOICES",
    "CLASSES",
    "Ballot",
    "Charter",
    "HoldPreview",
    "HoldShown",
    "Motion",
    "MotionView",
    "ReleaseStatus",
    "Seat",
    "StoppedAct",
    "Stopping",
    "ballot_statement",
    "bind_calls",
    "cast",
    "charter_of",
    "close",
    "motion",
    "motions",
    "motions_page",
    "open_motion",
    "place_release_hold",
    "preview_hold",
    "release_status",
    "seats",
    "show_hold",
    "stopped_page",
    "vacancies",
]
