"""Whether a session outlived its own act. Guards from acts of a stolen session that wait until it has been ended.

Attack: send an act in a stolen session and let it wait, for a lock or for its turn. Its owner ends the session and is
told so; then the wait is over, and the act opens what it asks for. So `core.work` asks this last of all before it
commits, and of the memory outside the database, where an end is said before any row is locked or written: what was
ended meanwhile, by whatever hand, is refused like any ended session that is presented, and nothing of it is kept.

An end that this very unit says is no such end: signing out, "this was not me" and ending one's own key go through. A
stop that it says besides is refused as well. What of it was remembered before any row was written stands, is told to
whoever said it, and is written down by its timer, as after any change that could not be committed.

An act that is committed in the moment between this question and the end is closed again by what follows the log.
"""

from __future__ import annotations

from weighthouse.core.caller import Caller, Life
from weighthouse.core.work import Unit
from weighthouse.identity.api import moments
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.sessions import disowned_name, epoch_name, over_name, spared_of, stopped_name
from weighthouse.identity.api.stale import over
from weighthouse.identity.api.workloads import ended_name, workload_over

_USED = "keys that the caller used"


def used_key(unit: Unit, person: str, device: str) -> None:
    """Note that `person` acts with this key: if they are the caller, it must live until the commit as well."""
    if unit.actor is not None and unit.actor.principal == person:
        unit.memo.setdefault(_USED, set()).add(device)


def check_under_way(unit: Unit, caller: Caller) -> None:
    """Raise `identity.session_ended`, with its line, or `identity.workload_ended` if what the caller presented, or a
    key that they used, has ended since."""
    if caller.kind == "workload":
        if caller.life is not None and _workload_ended(unit, caller.principal, caller.life):
            workload_over()
    elif _ended(unit, caller):
        raise over(unit, str(caller.session or ""), caller.principal, caller.address)


def _workload_ended(unit: Unit, principal: str, life: Life) -> bool:
    kept, name = memory(unit.system), ended_name(principal)
    own = name in moments.said(unit)
    return not own and (kept.condemned(name) or kept.version(principal) > life.version)


def _ended(unit: Unit, caller: Caller) -> bool:
    kept, said, person, session = memory(unit.system), moments.said(unit), caller.principal, str(caller.session or "")
    life = caller.life or Life(began=unit.now, epoch=kept.version(epoch_name(person)))
    if session and session not in said and kept.condemned(session):
        return True
    if disowned_name(person) not in said and moments.stopped(unit, disowned_name(person), life.began):
        return True
    if stopped_name(person) not in said and life.epoch < kept.version(epoch_name(person)):
        return True
    return _mark_ended(unit, session, life) or _key_ended(unit)


def _mark_ended(unit: Unit, session: str, life: Life) -> bool:
    """Whether the key or browser of the session was ended, and not from this session."""
    kept, mark = memory(unit.system), over_name(life.mark)
    if not life.mark or mark in moments.said(unit) or not moments.stopped(unit, mark, life.began):
        return False
    return kept.version(spared_of(session)) < kept.version(mark)


def _key_ended(unit: Unit) -> bool:
    kept, said = memory(unit.system), moments.said(unit)
    used = map(over_name, unit.memo.get(_USED, ()))
    return any(one not in said and kept.version(one) > 0 for one in used)
