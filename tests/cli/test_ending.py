"""How what serves is asked to end: by the first signal cleanly, by a second one at once, and never not at all."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from weighthouse.cli.ending import asked_to_end

LIMIT_S = 30


def forked(ready: int) -> int:
    """A process that waits to be asked to end; return its id."""
    child = os.fork()
    if child == 0:
        ended = asked_to_end()
        os.write(ready, b".")
        ended.wait()
        os._exit(0)
    return child


def status_of(child: int) -> int:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("it is deaf to signals")


@pytest.mark.parametrize("second", [None, signal.SIGTERM, signal.SIGINT])
def test_two_signals_however_close_leave_nobody_deaf(second: signal.Signals | None) -> None:
    """Attack: ask twice. A lock that the first signal took is never waited for by the second."""
    ready, told = os.pipe()
    try:
        for number in range(60 if second else 3):
            child = forked(told)
            os.read(ready, 1)
            os.kill(child, signal.SIGTERM)
            if second is not None:
                time.sleep(number * 5e-7)
                os.kill(child, second)
            # Of two that came together the interpreter handles the lower number first; the other one ends it at once.
            assert status_of(child) in ((0, -second, -signal.SIGTERM) if second else (0,))
    finally:
        os.close(ready)
        os.close(told)


def test_a_signal_that_interrupts_no_instruction_of_python_is_heard() -> None:
    """A handler in Python waits for the next instruction, and the read for the handler: both for ever."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        ended = asked_to_end()
        threading.Thread(target=time.sleep, args=(LIMIT_S,), daemon=True).start()
        # Delivered to the other thread, the signal does not interrupt the read.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.write(told, b".")
        ended.wait()
        os._exit(0)
    try:
        os.read(ready, 1)
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        assert status_of(child) == 0
    finally:
        os.close(ready)
        os.close(told)


def test_a_second_signal_that_the_interpreter_drops_ends_it_at_once() -> None:
    """It has come while the first one's handler took the handlers away; the interpreter says so, and forgets it."""
    child = os.fork()
    if child == 0:
        asked_to_end()._end()
        dropped = OSError(f"Signal {int(signal.SIGTERM)} ignored due to race condition")
        sys.unraisablehook(SimpleNamespace(exc_value=dropped))  # type: ignore[arg-type]
        os._exit(0)
    assert status_of(child) == -signal.SIGTERM
