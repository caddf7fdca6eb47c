"""Looking after lines that were acknowledged. Guards against one that vanishes and whose lane is never used again.

What this process was acknowledged is compared with log and outbox on one snapshot, every second; what a process that
is gone was acknowledged, at the start of the next one over the same state folder. `verify` asks the same.
"""

from __future__ import annotations

from weighthouse.audit.api import lanes, leaving
from weighthouse.audit.api.appending import append
from weighthouse.audit.model import Acknowledged, Problem
from weighthouse.audit.rules import lanes as rules
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import System, begin, read

LOST = "lost lines: "


def watch_lines(system: System) -> int:
    """Miss what is missing: remember it, and append one line for each gap; return how many there were."""
    if system.database.dialect != "postgresql":
        return 0
    count = _miss(system, lanes.memory(system).acknowledged())
    for name, left in lanes.memory(system).left_behind():
        count += _miss(system, left)
        if not _waits(system, left):
            if lanes.memory(system).is_own(name):
                _end(system, left)
            lanes.memory(system).forget(name)
    return count


def _miss(system: System, acknowledged: list[Acknowledged]) -> int:
    with read(system) as unit:  # opened after what was acknowledged was read
        gaps = lanes.gaps(unit, acknowledged)
    known = {gap.lane for gap in lanes.memory(system).lost()}
    for gap in gaps:
        if gap.lane in known:
            continue
        refusal = lanes.lose(system, gap)
        with begin(system, SYSTEM) as unit:
            for event in refusal.record:
                append(unit, event)
    return len(gaps)


def _end(system: System, left: list[Acknowledged]) -> None:
    """Say the last word of a process that is gone, unless lines of it are lost: then people look first."""
    if {one.lane for one in left} & {gap.lane for gap in lanes.memory(system).lost()}:
        return
    for writer in {writer for one in left if (writer := rules.serves(one.lane))}:
        leaving.end(system, writer)


def _waits(system: System, left: list[Acknowledged]) -> bool:
    """Whether the sequencer has not come to the end of what a process left; what is lost is waited for no longer."""
    lost = {gap.lane for gap in lanes.memory(system).lost()}
    with read(system) as unit:
        known = lanes.known(unit)
    return any(one.lane not in lost and known.reached(one.lane) < one.number for one in left)


def problems(system: System) -> list[Problem]:
    """Return what is missing between commit and log, for the check of the whole log."""
    if system.database.dialect != "postgresql":
        return []
    memory = lanes.memory(system)
    acknowledged = [*memory.acknowledged(), *(one for _, left in memory.left_behind() for one in left)]
    with read(system) as unit:
        found = {*lanes.gaps(unit, acknowledged), *memory.lost()}
        lost = lanes.known(unit).lost
    said = [
        Problem(-1, f"{LOST}rows {gap.first} to {gap.last} of {gap.lane} were committed and are nowhere")
        for gap in sorted(found, key=lambda gap: (gap.lane, gap.first))
    ]
    return said or ([Problem(-1, f"{LOST}{lost} lines vanished before they reached the log")] if lost else [])
