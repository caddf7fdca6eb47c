"""E-07: sessions without a risk evaluation. Guards the way in from a path that forgot to ask.

A session counts as evaluated when its start names what the evaluation found, even if that was nothing; and when
something was found that asked for a second factor, the session must have one.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.assurance.checks.facts import Fact, finding
from weighthouse.assurance.model import Finding

KIND = "identity.SessionStarted"


def evaluated(fact: Fact) -> bool:
    """Return whether this session was made after a risk evaluation whose demand was met."""
    reasons, level = fact.data.get("reasons"), fact.data.get("level")
    if not isinstance(reasons, list | tuple) or not isinstance(level, int):
        return False
    return not reasons or level >= 2


def compute(facts: Sequence[Fact]) -> Finding:
    """Compute the check over the sessions started in the period."""
    sessions = [one for one in facts if one.kind == KIND]
    failing = [one.index for one in sessions if not evaluated(one)]
    second = sum(isinstance(one.data.get("level"), int) and one.data["level"] == 2 for one in sessions)
    return finding(
        sessions,
        failing,
        f"All {len(sessions)} sessions were risk-checked first; {second} began with a second factor.",
        f"{len(failing)} of {len(sessions)} sessions began without a risk evaluation, or without the second factor "
        "that it asked for.",
        "No session began in the period.",
    )
