"""How a process that serves is asked to end. Guards its last words from a signal that comes as it starts."""

from __future__ import annotations

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def asked_to_end() -> threading.Event:
    """Return what is set by the first Ctrl-C or SIGTERM from now on; a second one ends the process at once.

    Call it before anything is served: the default of SIGTERM is to end without a word to anybody.
    """
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    for wanted in SIGNALS:
        signal.signal(wanted, end)
    return ended
