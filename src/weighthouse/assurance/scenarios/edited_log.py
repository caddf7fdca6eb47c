"""Theft: with write access to the database, rewrite the log so that it names somebody else."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.audit import api as audit
from weighthouse.core.work import read

CODE = "audit.tampered"


def attack(ground: Ground, _prepared: object) -> Observed:
    with read(ground.system) as unit:
        size = audit.head(unit).size
        if not size:
            not_here("a log with an entry in it")
        entry = audit.entry(unit, size // 2)
    at = str(entry.at).encode()
    forged = entry.leaf.replace(at, str(entry.at - 1).encode(), 1)
    assert ground.raw_sql("UPDATE log_entry SET leaf = :leaf WHERE idx = :index", leaf=forged, index=entry.index) == 1
    report = audit.verify(ground.system)
    if report.ok:
        return Observed(loot="an edited line that nobody noticed")
    first = report.problems[0]
    if first.index != entry.index:
        return Observed(code="", message=f"The verification named {first.index} instead of {entry.index}.")
    return Observed(code=CODE, message=f"The verification named entry {first.index}: {first.what}.")


SCENARIO = Scenario(
    id="edited-log",
    title="Edit a line of the log",
    techniques=("T1070", "T1562.008", "catalogue 48"),
    people=("eve",),
    steps=("On a copy, one entry's time is moved by a millisecond.", "The log is verified."),
    expected=Expected(status="DETECTED", room="audit", code=CODE, traces=()),
    attack=attack,
    on="copy",
    demo=True,
)
