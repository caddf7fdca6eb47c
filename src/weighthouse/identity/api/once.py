"""What counts once in the whole lab: a factor given for an act or vouched for by a provider, a signature that opens.

Guards a second server of one database from taking again what the first has taken. Each server's memory is its own,
and whoever administers the database puts rows back; so every use is a line of the log, which the others learn and
which is asked, by what was hashed, when one is judged. On PostgreSQL a use is known elsewhere once the sequencer has
taken its line.
"""

from __future__ import annotations

from collections.abc import Callable

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.work import System, Unit
from weighthouse.identity.api import moments
from weighthouse.identity.api.sealing import mark, memory
from weighthouse.identity.api.sessions import digest_of
from weighthouse.identity.events import FactorSpent, FactorUsed, OpeningSigned
from weighthouse.identity.model import Act, GivenFactor, KeySignature

_ASKED = 16  # of the newest lines: uses lie in order, but for those that two servers made at one moment
_factors = audit.Lines(FactorUsed.KIND, by="factor")
_spent = audit.Lines(FactorSpent.KIND)
_openings = audit.Lines(OpeningSigned.KIND, by="device")


def used_factor(unit: Unit, given: GivenFactor, act: Act) -> None:
    """Let a factor be used: in the log, and before the commit in this server's own memory.

    Before it, so that neither a kill nor a row put back ever makes it good for a second act.
    """
    audit.append(
        unit,
        FactorUsed(factor=given.id, principal=given.person, act=act.type, about=act.subject, until=given.until),
    )
    unit.before_commit(lambda: memory(unit.system).condemn(given.id, given.until))


def is_used(unit: Unit, factor: str) -> bool:
    """Whether any server has used this factor that was given for an act."""
    return memory(unit.system).condemned(factor) or _factors.any(unit, factor)


def first_opening(unit: Unit, signed: KeySignature, caller: Caller, act: Act) -> bool:
    """Whether no server has taken this signature or a later one by its key; from now on this one is taken."""
    if not _later(unit, _opening(signed.device), signed.at, _openings, signed.device, "signed", 1):
        return False
    audit.append(
        unit,
        OpeningSigned(
            device=signed.device,
            principal=caller.principal,
            act=act.type,
            about=act.subject,
            signed=signed.at,
            session=str(caller.session or ""),
        ),
    )
    return True


def first_spent(unit: Unit, account: str, at: int) -> bool:
    """Whether no server has counted this factor of an account or a later one; from now on it is spent."""
    marked = mark(unit, "account", account)
    before = memory(unit.system).version(f"factor {digest_of(account)}")  # as it was remembered before marks
    if at <= before and not moments.ahead(unit, before * SECOND):
        return False
    if not _later(unit, _account(marked), at, _spent, marked, "auth_time", SECOND):
        return False
    audit.append(unit, FactorSpent(account_mark=marked, auth_time=at))
    return True


def _later(unit: Unit, name: str, at: int, lines: audit.Lines, value: str, field: str, unit_ms: Millis) -> bool:
    """Whether `at` is later than all that was taken, but for what was taken in a leap of the clock."""
    told = [int(one.data[field]) for one in lines.of(unit, value, limit=_ASKED, newest_first=True)]
    earlier = all(one < at or moments.ahead(unit, one * unit_ms) for one in told)
    return earlier and memory(unit.system).is_later(moments.series(unit, name, seconds=unit_ms == SECOND), at)


def _opening(device: str) -> str:
    return f"opening {device}"


def _account(account_mark: str) -> str:
    return f"factor {account_mark}"


def _learn_used(system: System, entry: audit.Entry, now: Millis) -> None:
    if int(entry.data["until"]) > now:
        memory(system).condemn(str(entry.data["factor"]), int(entry.data["until"]))


def _learn_spent(system: System, entry: audit.Entry, now: Millis) -> None:
    memory(system).raise_version(_account(str(entry.data["account_mark"])), int(entry.data["auth_time"]))


def _learn_signed(system: System, entry: audit.Entry, now: Millis) -> None:
    memory(system).raise_version(_opening(str(entry.data["device"])), int(entry.data["signed"]))


LEARN: dict[str, Callable[[System, audit.Entry, Millis], None]] = {
    FactorUsed.KIND: _learn_used,
    FactorSpent.KIND: _learn_spent,
    OpeningSigned.KIND: _learn_signed,
}
"""How what another server has used is remembered here, kind by kind."""
