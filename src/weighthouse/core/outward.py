"""Waiting for somebody outside, for so long and no longer. Guards threads from a name or a host that never answers.

A resolver has no deadline that a program could set, and a name with ten addresses is tried ten times over. So the
whole exchange is done by a worker for which nobody waits longer than agreed. How many such workers there may be at a
time is bounded: when all of them hang, the answer is no, at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Late(OSError):
    """The other side did not come to an end in time, or too many wait for it already."""


class Outward:
    """Exchanges with one outside party, at most `most` at a time."""

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most)

    def within(self, seconds: float, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises; raises `Late` after `seconds`."""
        if not self._places.acquire(blocking=False):
            raise Late("too many exchanges hang already")
        done, results, errors = threading.Event(), list[T](), list[BaseException]()

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)
            finally:
                self._places.release()
                done.set()

        try:
            threading.Thread(target=run, name="outward", daemon=True).start()
        except RuntimeError as error:
            self._places.release()
            raise Late("no thread is left for it") from error
        if not done.wait(seconds):
            raise Late(f"there was no end of it within {seconds:g} s")
        if errors:
            raise errors[0]
        return results[0]
