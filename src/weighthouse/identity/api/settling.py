"""What ends with an account. Guards against rights that outlive the account that proved them.

Enforcement is elsewhere: everything that carries an account is checked against policy at each use. Here the ends are
written down at the change itself, so that they stay ends when the account comes back, and each has its line.

Attack: break a person's record for the moment in which policy drops their account, and put it back. So where nobody
can believe it, what it would name is found in the log, and its ends are remembered outside the database all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Denied, NotFound, Unauthenticated, WeighthouseError
from weighthouse.core.work import System, Unit, begin
from weighthouse.identity.api.accounts import vouched
from weighthouse.identity.api.devices import drop_device, read_back
from weighthouse.identity.api.ends import ACCOUNT_GONE, End
from weighthouse.identity.api.sealing import memory, unseal
from weighthouse.identity.api.sessions import (
    end_mark,
    end_session,
    keep_end,
    over_for_good,
    write_end,
)
from weighthouse.identity.api.states import STATE_FORM, change_state, fresh_state, state_of
from weighthouse.identity.api.unseen import believed_session, unreadable
from weighthouse.identity.events import AccountAdopted, DeviceEnded, DeviceEnrolled, SessionEnded, SessionStarted
from weighthouse.identity.model import RUN, PrincipalState, Session
from weighthouse.identity.store import devices as device_store
from weighthouse.identity.store import principals as store
from weighthouse.identity.store import sessions as session_store
from weighthouse.policy import api as policy

_BEGUN = audit.Lines(SessionStarted.KIND, by="principal")
_ENROLLED = audit.Lines(DeviceEnrolled.KIND, by="principal")


def settle_accounts(unit: Unit, person: str) -> int:
    """End every session and device of `person` whose account policy no longer gives them; return how many.

    A record that is not believed keeps policy from nothing: what ends then is what the log tells."""
    try:
        state = state_of(unit, person)
    except Unauthenticated as refusal:
        for line in refusal.record:
            audit.append(unit, line)
        return _end_unlisted(unit, person)
    ended = 0
    for row in session_store.by_ids(unit.conn, state.sessions):
        session = unseal(unit, "session", row.body, row.seal, Session)
        if session is not None and not vouched(unit, person, session.account, state):
            end_session(unit, session.id, ACCOUNT_GONE, by="system")
            ended += 1
    for hidden in unreadable(unit, person):  # nobody can tell what proved it, so it is over when its row comes back
        end_session(unit, hidden, ACCOUNT_GONE, by="system", of=person)
        ended += 1
    for device in state.devices:
        if not _vouched(unit, person, device, state) and not over_for_good(unit, device):
            drop_device(unit, person, device, ACCOUNT_GONE, by="system")
            ended += 1
    return ended


def _end_unlisted(unit: Unit, person: str) -> int:
    """End what the log tells of a person whose record may name it again, and whose account nobody vouches for."""
    ended, state = 0, fresh_state(person)
    for begun in _told(unit, _BEGUN, SessionStarted.KIND, person):
        session, until = believed_session(unit, str(begun["session"])), int(begun["ends"])
        own = session is not None and (session.ended is not None or vouched(unit, person, session.account, state))
        if unit.now < until and not own and not memory(unit.system).condemned(str(begun["session"])):
            _end_session(unit, str(begun["session"]), until, person, session)
            ended += 1
    for enrolled in _told(unit, _ENROLLED, DeviceEnrolled.KIND, person):
        device = str(enrolled["device"])
        if not over_for_good(unit, device) and not _vouched(unit, person, device, state):
            _end_device(unit, device, str(enrolled["thumbprint"]), person)
            ended += 1
    return ended


def _told(unit: Unit, lines: audit.Lines, kind: str, person: str) -> list[Mapping[str, Any]]:
    waiting = (one for one in audit.on_its_way(unit, kind) if one["principal"] == person)
    return [*(one.data for one in lines.of(unit, person)), *waiting]


def _end_session(unit: Unit, id_: str, until: Millis, person: str, session: Session | None) -> None:
    end = End(session=id_, by="system", reason=ACCOUNT_GONE, foreign=True, at=unit.now)
    if session is not None:
        write_end(unit, session, end)
    else:
        keep_end(unit, end, until, person)
    audit.append(unit, SessionEnded(session=id_, principal=person, reason=ACCOUNT_GONE, by=end.by, whose=end.whose))


def _end_device(unit: Unit, device: str, key: str, person: str) -> None:
    for mark in (device, key):
        unit.last_before_commit(partial(end_mark, unit, mark, "system"))
    device_store.end_device(unit.conn, device, unit.now)
    audit.append(unit, DeviceEnded(device=device, principal=person, reason=ACCOUNT_GONE, by="system", key=key))


def _vouched(unit: Unit, person: str, device: str, state: PrincipalState) -> bool:
    try:
        account = read_back(unit, device).account
    except (Denied, NotFound):  # gone or edited: it ends, so that it is over when its row is put back
        return False
    return vouched(unit, person, account, state)


def adopt_accounts(system: System) -> int:
    """At the first start that keeps accounts: say once, in the log, as which account older statements count.

    That is the one account which policy gives the person now; where it gives none or several nobody can tell which
    one proved them, so they count as nothing and what lives on them ends. Nothing older is rewritten: its seal is
    verified in its own form. Returns for how many people it was decided.
    """
    with begin(system) as unit:
        if not policy.published(unit):
            return 0
        return sum(_adopt(unit, principal) for principal in store.all_principals(unit.conn))


def _adopt(unit: Unit, principal: str) -> bool:
    try:
        state = state_of(unit, principal)
    except WeighthouseError:  # an edited state is refused wherever it is asked for; nothing is adopted for it
        return False
    if principal.startswith(RUN) or state.v >= STATE_FORM:
        return False
    candidates = policy.accounts_of(policy.current(unit).lab, principal)
    account = next(iter(candidates)) if len(candidates) == 1 else ""

    def decided(found: PrincipalState) -> PrincipalState:
        return msgspec.structs.replace(found, v=STATE_FORM, adopted=account)

    change_state(unit, principal, decided)
    ended = settle_accounts(unit, principal)
    audit.append(unit, AccountAdopted(principal=principal, account=account, candidates=len(candidates), ended=ended))
    return True
