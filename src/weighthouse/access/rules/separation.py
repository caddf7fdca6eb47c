"""Separation of duties. Guards against two harmless grants that are a theft together."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def conflict(
    wanted: str, held: Collection[str], separations: Iterable[tuple[str, Collection[str], str]]
) -> tuple[str, str, str] | None:
    """Return (separation, the other entitlement, why) if holding `wanted` beside `held` breaks one; else None.

    `held` are the entitlements the person has or is waiting for; `separations` are (name, entitlements, why).
    """
    for name, apart, why in separations:
        if wanted in apart:
            for other in sorted(held):
                if other != wanted and other in apart:
                    return name, other, why
    return None
