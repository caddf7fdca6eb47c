"""One step by which a person says "this was not me". Guards from whoever acts in their name.

It only stops, so it needs no second factor: every session of the person ends, every key of theirs is set aside and
signs nothing, those that were only growing up for good; what was asked for in their name until then, and given for
it, is taken back by the room that keeps it. Nobody else is touched. Undoing it is for security, who has spoken with
the person.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.work import Unit
from weighthouse.identity.api import owing
from weighthouse.identity.api.ends import NOT_ME
from weighthouse.identity.api.keys_aside import set_keys_aside
from weighthouse.identity.api.sessions import disclaim, end_sessions_of
from weighthouse.identity.api.states import stop_first
from weighthouse.identity.events import Disowned


def disown(unit: Unit, caller: Caller) -> tuple[int, int]:
    """End every session of the caller and set every key of theirs aside; return how many of each."""
    stop_first(unit, caller.principal)
    disclaim(unit, caller.principal)
    line = Disowned(principal=caller.principal, session=caller.session or "", sessions=0, devices=0)
    owing.owe(unit, line, of=caller.principal)
    return _disown(unit, line, caller)


def _disown(unit: Unit, line: Disowned, by: Caller | str) -> tuple[int, int]:
    ended = end_sessions_of(unit, line.principal, NOT_ME, by, stops=True)
    aside = set_keys_aside(unit, line.principal, line.principal)
    audit.append(unit, msgspec.structs.replace(line, sessions=ended, devices=aside))
    return ended, aside


def _again(unit: Unit, line: Disowned) -> None:
    _disown(unit, line, line.principal)


owing.again(Disowned, _again, unsure=("sessions", "devices"))
