"""Caps of sliding windows, sizes of leases, time to theft. Guards against the slow drip and the many small ones.

A budget is given per day. Its hour may take half, so that one burst cannot empty it unseen; its 30 days may take ten
daily budgets, so that a drip just under the daily cap ends on the tenth day (research cases 53, 54).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weighthouse.core.clock import DAY, HOUR, Millis
from weighthouse.egress.model import KIB, MIB, Key, Level

MONTHLY_FACTOR = 10
SLOWER = 10  # how much longer than finding and stopping it a theft has to take
UNSIZED_DAILY = 64 * KIB  # for a model whose size nobody has declared
SMALLEST_LEASE = 16 * KIB
LARGEST_LEASE = 8 * MIB
SLIVER = KIB  # the least that is lent, and what a way that sends nothing keeps
PARTS = 8  # nobody is lent more than one such part of what is left


def caps(daily: int) -> dict[Millis, int]:
    """Return the cap of each window, in bytes, for a daily budget."""
    return {HOUR: -(-daily // 2), DAY: daily, 30 * DAY: daily * MONTHLY_FACTOR}


def left(daily: int, spent: Mapping[Millis, int]) -> int:
    """Return how many bytes every window of one account still allows, never below zero."""
    return max(0, min(cap - spent.get(span, 0) for span, cap in caps(daily).items()))


def lease_size(daily: Sequence[int]) -> int:
    """Return how much to lend at once, given the daily budgets of every account that pays.

    Small against the smallest budget, so that little is lost when a way is cut with a lease half used.
    """
    return max(SMALLEST_LEASE, min(LARGEST_LEASE, min(daily) // 16))


def rate(lease: int) -> int:
    """Return the bytes a second that one connection direction may carry, so that a lease lasts about two seconds."""
    return max(KIB, lease // 2)


def grant(want: int, allowed: Mapping[Key, int]) -> tuple[int, Key | None]:
    """Return the bytes to lend and, when none, the account that had none left.

    A lease is whole or nothing: a sliver would only prolong the drip.
    """
    for key, amount in allowed.items():
        if amount < want:
            return 0, key
    return want, None


def share(size: int, allowed: Mapping[Key, int]) -> int:
    """Return how much to lend of what every account has left: `size` at most, 0 when one has not a sliver left.

    A part of what is left, so that many at once find something to the last, and little lies idle with each.
    """
    least = min(allowed.values())
    return max(SLIVER, min(size, least // PARTS)) if least >= SLIVER else 0


def time_to_theft(artefact: int, daily: int, compression: int) -> Millis | None:
    """Return how long it takes to carry out `artefact` bytes at the daily cap, compressed; None when it never ends.

    T = (size / compression) / bytes per day, in milliseconds, rounded down (the thief's favour).
    """
    if daily <= 0:
        return None
    return artefact * DAY // (compression * daily)


def holds(artefact: int, daily: int, compression: int, respond: Millis) -> bool:
    """Return whether stealing the whole takes at least ten times as long as finding and stopping it."""
    taken = time_to_theft(artefact, daily, compression)
    return taken is None or artefact == 0 or taken >= SLOWER * respond


def holding(artefact: int, compression: int, respond: Millis) -> int:
    """Return the most bytes a day at which an artefact holds: a share of its size, not a number for every model."""
    return artefact * DAY // (compression * SLOWER * respond)


def shares(model_daily: int, percent: int) -> dict[Level, int]:
    """Return what runs may say in a day (output, reports, names) of a model with this daily budget, by who says it.

    Nobody needs the whole of it: a person may use half, so that one account is not the others' silence, and one run
    a quarter.
    """
    said = model_daily * percent // 100
    return {"said": said, "said by profile": said, "said by person": said // 2, "said by run": said // 4}
