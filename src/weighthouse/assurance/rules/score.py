"""The red-team score over outcomes. Guards the trend from a run that skipped the hard ones: not run earns nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weighthouse.assurance.model import Outcome


def percent(outcomes: Mapping[str, Outcome], catalogue: Sequence[str]) -> int:
    """Return the per cent of the catalogue whose newest outcome held; a scenario never run did not hold."""
    if not catalogue:
        return 0
    return 100 * sum(one in outcomes and outcomes[one].held for one in catalogue) // len(catalogue)


def regressions(before: Mapping[str, Outcome], after: Mapping[str, Outcome]) -> tuple[str, ...]:
    """Return the scenarios that held before and do not hold now; they are shown first."""
    return tuple(sorted(one for one, was in before.items() if was.held and one in after and not after[one].held))
