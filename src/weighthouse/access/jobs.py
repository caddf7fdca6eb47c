"""access's timers: one writes down ends that are in force, one closes every release while the log is in doubt, one
writes the lines that a no owes whose change could not be committed.

Nothing depends on the first, for a decision reads the end itself. What the second finds is found again at every turn.
The follower takes back what was asked for in sessions that were ended from elsewhere, voids what was voted in them,
closes again what was opened in them, and tells which policy texts rest on what was given in them: at the line of the
end, and at that of the act, for either may come last.
"""

from __future__ import annotations

from weighthouse.access.api import close_on_doubt, overtaken, owing, tidy
from weighthouse.access.api.closed_again import close_person, close_session
from weighthouse.access.api.foreign import settle_person, settle_session
from weighthouse.access.api.learning import KINDS, learn
from weighthouse.access.api.rested_on import tell_person, tell_session
from weighthouse.access.api.voiding import void_person, void_session
from weighthouse.audit.api import Entry, Follower, Learner
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import MINUTE, SECOND, Millis
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, Unit, retry

BATCH = 500
DOUBT: Millis = 5 * SECOND
"""How soon a log that is found contradicted closes every release."""


def run(system: System) -> int:
    """Mark what time has ended, batch by batch; return how many rows were marked."""
    total = 0
    while True:
        done = retry(system, SYSTEM, lambda unit: tidy(unit, BATCH))
        total += done
        if done < BATCH:
            return total


def _ended(unit: Unit, entry: Entry) -> None:
    """Read twice, or long after, this ends nothing that was asked for since."""
    if entry.kind in overtaken.KINDS:
        overtaken.late(unit, entry)
        return
    person, by = str(entry.data["principal"]), str(entry.data.get("by") or entry.data["principal"])
    if not person:  # ended by its id alone, since its row was hidden
        return
    if entry.kind in ("identity.Disowned", "identity.PersonFrozen"):
        settle_person(unit, person, entry.at, by)
        void_person(unit, person, entry.at, by)
        close_person(unit, person, entry.at, by)
        tell_person(unit, person, entry.at, by)
    else:
        session = str(entry.data["session"])
        settle_session(unit, person, session, by)
        void_session(unit, person, session, by)
        close_session(unit, person, session, by)
        tell_session(unit, person, session, by)


followers: tuple[Follower, ...] = (
    Follower(
        name="access-foreign",
        kinds=overtaken.KINDS
        | {"identity.SessionEnded", "identity.SessionUsedElsewhere", "identity.Disowned", "identity.PersonFrozen"},
        handle=_ended,
    ),
)
learners: tuple[Learner, ...] = (Learner(KINDS, learn),)
timers: tuple[Timer, ...] = (
    Timer(name="access-tidy", every_ms=MINUTE, run=run),
    Timer(name="access-owed", every_ms=MINUTE // 4, run=owing.pay),
    Timer(name="access-doubt", every_ms=DOUBT, run=close_on_doubt),
)
