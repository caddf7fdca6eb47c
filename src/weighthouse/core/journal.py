"""The server's own log for its operator: time, level, request, and no flood. It proves nothing; the audit log does.

While a part is down, every timer and request fails in the same way many times a second. Each such message is written
once in some seconds, with how often it was left out, so that the disk and the operator's eyes are kept for news.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar

EVERY_S = 10.0
MOST = 512
REQUEST: ContextVar[str] = ContextVar("request", default="-")
"""The id of the request that this thread or task serves."""

_DOWN = "(core.database_unavailable)"


class Sparing(logging.Filter):
    """Lets a repeated message through once in `EVERY_S`, and notes on it how many were left out since."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._seen: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to write `record`, and give it the request's id and the count."""
        record.request = REQUEST.get()
        record.repeated = ""
        said, now = record.getMessage(), self._now()
        # Whoever it was that could not reach the database, it is one and the same news.
        about = _DOWN if said.endswith(_DOWN) else f"{record.name} {said}"
        with self._lock:
            last, left_out = self._seen.get(about, (-EVERY_S, 0))
            if now - last < EVERY_S:
                self._seen[about] = (last, left_out + 1)
                return False
            if len(self._seen) >= MOST:
                self._seen.clear()
            self._seen[about] = (now, 0)
        record.msg, record.args = (
            said.replace("\r", "\\r").replace("\n", "\\n"),
            (),
        )  # nobody writes a line of their own
        if left_out:
            record.repeated = f" (and {left_out} more like it before)"
        return True


def begin(level: int = logging.INFO) -> logging.Handler:
    """Write this software's log to standard error, in UTC, one line a message; return the handler."""
    handler = logging.StreamHandler()
    form = logging.Formatter("{asctime}Z {levelname} {name} request={request} {message}{repeated}", style="{")
    form.converter = time.gmtime
    form.default_time_format, form.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03d"
    handler.setFormatter(form)
    handler.addFilter(Sparing())
    ours = logging.getLogger("weighthouse")
    ours.addHandler(handler)
    ours.setLevel(level)
    ours.propagate = False
    return handler
