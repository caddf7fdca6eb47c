"""A second factor for the act. Guards what cannot be taken back from whoever holds a session but not its person.

A factor given a minute ago proves that its person was there, not that they wanted this. So enrolling a key, voting,
answering a motion, lifting a hold, publishing policy, thawing a person and undoing an order to destroy each take a
factor given for exactly that: single-use, for this person, account and session, good for minutes. To place a hold or
to freeze needs none: they only stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.ids import new_id
from weighthouse.core.work import System, Unit
from weighthouse.identity.api.once import is_used, used_factor
from weighthouse.identity.api.sealing import seal, unseal
from weighthouse.identity.events import ActConfirmed, ActUnconfirmed, RecordRefused
from weighthouse.identity.model import ACT_LIFE, Act, GivenFactor
from weighthouse.identity.rules.acts import check_acts, digest_of_act, words_of
from weighthouse.identity.store import acts as store

_told: WeakKeyDictionary[System, set[str]] = WeakKeyDictionary()


def digest_for(caller: Caller, act: Act) -> str:
    """The digest that a factor for `act` by this caller is bound to."""
    return digest_of_act(act, person=caller.principal, account=caller.account, session=str(caller.session or ""))


def factor_given(unit: Unit, caller: Caller, acts: Sequence[Act], *, method: str, at: Millis) -> None:
    """Keep that `caller` gave a second factor for exactly these acts, shown together.

    For whatever has verified one against `challenge_of` these acts (`ports.ActFactor`), and for nothing else.
    """
    check_acts(acts)
    for act in acts:
        given = GivenFactor(
            id=new_id("fac"),
            digest=digest_for(caller, act),
            person=caller.principal,
            account=caller.account,
            session=str(caller.session or ""),
            method=method,
            at=at,
            until=unit.now + ACT_LIFE,
        )
        body, code = seal(unit, "act", given)
        store.insert_act(unit.conn, factor=given.id, session=given.session, until=given.until, body=body, seal=code)
    told = tuple(words_of(act) for act in acts)
    session = str(caller.session or "")
    audit.append(unit, ActConfirmed(session=session, principal=caller.principal, acts=told, method=method))


def require_act(unit: Unit, caller: Caller, act: Act) -> None:
    """Use up the factor that `caller` gave for exactly this act; it is used when this unit commits.

    Raises Unauthenticated `identity.act_unconfirmed`, which names the act to confirm, with one line.
    """
    given = check_act(unit, caller, act)
    if not store.take_act(unit.conn, given.id):
        raise _unconfirmed(unit, caller, act)
    used_factor(unit, given, act)


def check_act(unit: Unit, caller: Caller, act: Act) -> GivenFactor:
    """Return the factor that `caller` gave for exactly this act, reading alone: for a no that is remembered before
    anything is written. Raises as `require_act`."""
    check_acts([act])
    wanted = digest_for(caller, act)
    given = next((one for one in _given(unit, caller) if one.digest == wanted), None)
    if given is None or caller.kind != "person":
        raise _unconfirmed(unit, caller, act)
    return given


def _given(unit: Unit, caller: Caller) -> Iterator[GivenFactor]:
    """What was given in the caller's session and is still good: in time, not used, and no row of somebody else's."""
    for factor, body, code in store.acts_of(unit.conn, str(caller.session or "")):
        given = unseal(unit, "act", body, code, GivenFactor)
        if given is None or given.id != factor:
            _told_once(unit, str(caller.session or ""), factor)
            continue  # a row of somebody else's gives nothing, and keeps nobody from a vote, the no least of all
        if unit.now < given.until and not is_used(unit, given.id):
            yield given


def _told_once(unit: Unit, session: str, row: str) -> None:
    """Leave one line for a session: whoever writes such a row may write a thousand."""
    told = _told.setdefault(unit.system, set())
    if unit.read_only or session in told or ("acts", session) in unit.memo:
        return
    line = unit.memo["acts", session] = RecordRefused(table="act", row=row[:64], why="the seal does not hold")
    audit.append(unit, line)
    unit.after_commit(lambda: told.add(session))


def _untold(unit: Unit, session: str) -> list[RecordRefused]:
    """The line of this unit, which is about to be rolled back with it."""
    line = unit.memo.get(("acts", session))
    if line is not None:
        _told[unit.system].add(session)
    return [] if line is None else [line]


def _unconfirmed(unit: Unit, caller: Caller, act: Act) -> Unauthenticated:
    line = ActUnconfirmed(
        session=str(caller.session or ""), principal=caller.principal, act=act.type, about=act.subject
    )
    return Unauthenticated(
        "identity.act_unconfirmed",
        f"This takes a second factor given for exactly this: {words_of(act)}",
        "Confirm it with your second factor, then do it again within five minutes.",
        record=[line, *_untold(unit, line.session)],
        acts=msgspec.json.encode([act]).decode(),
    )
