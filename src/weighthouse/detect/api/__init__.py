"""The public face of detection: read and acknowledge alerts, and what a responder does about people and sessions.

Guards alerts from those they are about: who may see them is decided by access, like everything else. Alerts are
raised by the followers in `jobs`, never by a caller.
"""

from weighthouse.detect.api.alerts import NOTE_LIMIT, acknowledge, alert, alerts, alerts_page, record
from weighthouse.detect.api.people import (
    confirm_key,
    end_key,
    end_session,
    ended_page,
    freeze,
    frozen,
    keys_about,
    keys_aside,
    keys_of,
    restore_key,
    sessions_of,
    thaw,
)
from weighthouse.detect.api.signals import attempts_from, reads_by
from weighthouse.detect.api.told import answered, known
from weighthouse.detect.model import Alert

__all__ = [
    "NOTE_LIMIT",
    "Alert",
    "acknowledge",
    "alert",
    "alerts",
    "alerts_page",
    "answered",
    "attempts_from",
    "confirm_key",
    "end_key",
    "end_session",
    "ended_page",
    "freeze",
    "frozen",
    "keys_about",
    "keys_aside",
    "keys_of",
    "known",
    "reads_by",
    "record",
    "restore_key",
    "sessions_of",
    "thaw",
]
