"""How the log is, in one answer. Guards operators from silence: what waits, what is lost, what is damaged."""

from __future__ import annotations

from weighthouse.audit.api import arrears, lanes, personal, scanning
from weighthouse.audit.api.appending import LATE, overdue
from weighthouse.audit.api.following import moved_lately
from weighthouse.audit.api.reading import head
from weighthouse.audit.api.sequencing import backlog
from weighthouse.audit.api.servers import unheard
from weighthouse.audit.api.standing import standing
from weighthouse.audit.api.waiting import watch
from weighthouse.audit.model import Condition
from weighthouse.core.clock import SECOND
from weighthouse.core.work import Unit


def condition(unit: Unit) -> Condition:
    """Return how the log is; every problem in plain words, none when all is well."""
    system = unit.system
    waiting, silent, scan = backlog(unit), overdue(unit), scanning.state(system)
    owed = arrears.owed(unit)
    foreign = watch(system).foreign()
    lost = len(lanes.memory(system).lost()) or lanes.known(unit).lost
    said = (
        (waiting.oldest > LATE, f"entries have waited {waiting.oldest // SECOND} s for the sequencer"),
        (foreign > 0, f"rows that this software did not write have stood in the outbox for {foreign // SECOND} s"),
        (owed > LATE, f"what was said no to has been owed to the log for {owed // SECOND} s"),
        (silent > 0, f"heartbeats have been missing for {silent // SECOND} s"),
        (lost > 0, "lines were lost between their commit and the log"),
        (bool(scan.problem), f"entry {scan.at}: {scan.problem}"),
        (scan.unkept >= 0, f"entry {scan.unkept}: {personal.UNKEPT}"),
        *(
            (age > LATE, f"the follower {name} has stood still for {age // SECOND} s while lines wait for it")
            for name, age in standing(unit)
        ),
        *(
            (age > LATE, f"the server {name} has not been heard, or its lines have not come, for {age // SECOND} s")
            for name, age in unheard(unit)
        ),
        *((True, f"the database moved the place of the follower {name}") for name in moved_lately(system)),
    )
    return Condition(
        size=head(unit).size,
        waiting=waiting.waiting,
        oldest=waiting.oldest,
        silent=silent,
        lost=lost,
        scan=scan,
        problems=tuple(text for wrong, text in said if wrong),
    )
