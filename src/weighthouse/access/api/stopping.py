"""The right to stop, asked by what is known here. Guards every no from the doubt that closes what opens.

Attack: stall the log until no server decides; then whoever would revoke, hold or freeze is refused too, and what they
saw goes on when the lock is let go. So an act that only stops is judged by what this server knows: somebody who was
stopped elsewhere meanwhile may still stop others, which is the safe side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from weighthouse.access.ports import Refusals
from weighthouse.core.work import Unit

P = ParamSpec("P")
T = TypeVar("T")


def stops(act: Callable[Concatenate[Unit, P], T]) -> Callable[Concatenate[Unit, P], T]:
    """Let an act that opens nothing be done, and remembered, also while this server decides nothing else."""

    @wraps(act)
    def done(unit: Unit, /, *args: P.args, **named: P.kwargs) -> T:
        with unit.part(Refusals).stopping():
            return act(unit, *args, **named)

    return done
