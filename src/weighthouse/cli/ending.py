"""How a process that serves is asked to end. Guards its last words from a signal that comes as it starts."""

from __future__ import annotations

import os
import re
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Whether the end was asked for. A pipe, for what a signal interrupts may hold any lock, an Event's own too.

    The interpreter's own handler writes to it (`signal.set_wakeup_fd`): one written in Python runs between two of
    its instructions only, so a signal that came just before the read would wait for the next one.
    """

    def __init__(self) -> None:
        self._asked, self._ask = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._asked, True)
        signal.set_wakeup_fd(self._ask, warn_on_full_buffer=False)
        sys.unraisablehook = _ends_at_once
        for wanted in SIGNALS:
            signal.signal(wanted, self._end)

    def _end(self, *_: object) -> None:
        for wanted in SIGNALS:
            signal.signal(wanted, signal.SIG_DFL)

    def wait(self) -> None:
        """Return once it was, also if that was long ago."""
        while os.read(self._asked, 1)[0] not in SIGNALS:
            pass


def _ends_at_once(odd: sys.UnraisableHookArgs) -> None:
    """End by the second signal, if it came while the first took its handler away: the interpreter drops that one."""
    dropped = re.fullmatch(r"Signal (\d+) ignored due to race condition", str(odd.exc_value))
    if dropped:
        os.kill(os.getpid(), int(dropped[1]))
    sys.__unraisablehook__(odd)


def asked_to_end() -> Ending:
    """Return what is set by the first Ctrl-C or SIGTERM from now on; a second one ends the process at once.

    Call it before anything is served: the default of SIGTERM is to end without a word to anybody.
    """
    return Ending()
