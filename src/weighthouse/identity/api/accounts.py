"""The account behind what was proved. Guards people from whoever gets their account, or their id, after them.

A session, a device, a vote and a grant carry the account that proved them, and count only while policy gives that
account to their person. What is older than the keeping of accounts counts as the account adopted at the upgrade.
"""

from __future__ import annotations

from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import Unit
from weighthouse.identity.api.states import state_of
from weighthouse.identity.model import PrincipalState
from weighthouse.policy import api as policy


def vouched(unit: Unit, person: str, account: str, state: PrincipalState) -> bool:
    """Whether `account`, or the one adopted for what has none, is `person`'s in the policy in force."""
    return (account or state.adopted) in policy.accounts_of(policy.current(unit).lab, person)


def account_holds(unit: Unit, person: str, account: str) -> bool:
    """Whether what `account` proved for `person` still is theirs; no for a state that was edited or put back."""
    try:
        return vouched(unit, person, account, state_of(unit, person))
    except Unauthenticated:
        return False
