"""What ends with an account. Guards against rights that outlive the account that proved them.

Enforcement is elsewhere: everything that carries an account is checked against policy at each use. Here the ends are
written down at the change itself, so that they stay ends when the account comes back, and each has its line.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.work import System, Unit, begin
from weighthouse.identity.api.accounts import vouched
from weighthouse.identity.api.devices import drop_device, read_back
from weighthouse.identity.api.ends import ACCOUNT_GONE
from weighthouse.identity.api.sealing import unseal
from weighthouse.identity.api.sessions import end_session, unreadable
from weighthouse.identity.api.states import STATE_FORM, change_state, state_of
from weighthouse.identity.events import AccountAdopted
from weighthouse.identity.model import RUN, PrincipalState, Session
from weighthouse.identity.store import principals as store
from weighthouse.identity.store import sessions as session_store
from weighthouse.policy import api as policy


def settle_accounts(unit: Unit, person: str) -> int:
    """End every session and device of `person` whose account policy no longer gives them; return how many."""
    state = state_of(unit, person)
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
        if not _vouched(unit, person, device, state):
            drop_device(unit, person, device, ACCOUNT_GONE, by="system")
            ended += 1
    return ended


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
