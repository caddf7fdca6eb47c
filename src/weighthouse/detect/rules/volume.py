"""Weights that leave as words (ATT&CK T1048, T1029): output, reports and names of one person's runs, too many bytes.

Guards what the budgets only slow down. A person's runs that have used half of an hour's share are looked at once a
day; when several runs were silenced, that is no mistake any more, and access is held until somebody has looked.
"""

from __future__ import annotations

from weighthouse.core.clock import DAY, Millis
from weighthouse.detect.model import OUTPUT, Incident


def loud(index: int, at: Millis, person: str, model: str) -> Incident:
    """Return the incident of a person's runs that said much; one a day for each person and model."""
    return Incident(
        rule=OUTPUT,
        key=f"{OUTPUT}:{person}:{model}:{at // DAY}",
        severity="medium",
        principal=person,
        session="",
        evidence=(index,),
        text=f"Runs of {person} have said half of what an hour allows of {model}, or more than a day allows.",
    )


def drained(indexes: tuple[int, ...], person: str, most: int) -> Incident | None:
    """Return the incident whenever another `most` runs of a person were silenced within a day, else None."""
    if not indexes or len(indexes) % most:
        return None
    indexes = indexes[-most:]
    return Incident(
        rule=OUTPUT,
        key=f"{OUTPUT}:{person}:{indexes[0]}",
        severity="high",
        principal=person,
        session="",
        evidence=indexes,
        text=f"{len(indexes)} runs of {person} were silenced within a day for having said too much.",
    )
