"""Accounts: what proves a person, and how they may change hands. Guards what one account proved from another's owner.

A person is an id in the signed lab; an account is (issuer, subject) at a provider. What somebody has proved is theirs
only while policy gives that very account to that very id; so an id never changes all of its accounts at once.
"""

from __future__ import annotations

from functools import lru_cache

from weighthouse.core.canonical import encode, sha256_hex
from weighthouse.core.errors import Invalid
from weighthouse.policy.model import Lab


@lru_cache(maxsize=65_536)
def account_ref(issuer: str, subject: str) -> str:
    """The name under which sealed and signed statements carry an account: a digest over its exact bytes."""
    return "acc_" + sha256_hex(encode({"issuer": issuer, "subject": subject}))[:40]


def accounts_of(lab: Lab, person: str) -> frozenset[str]:
    """The names of every account that this lab gives to a person; empty for who is not in it."""
    entry = lab.people.get(person)
    return frozenset(account_ref(*one) for one in entry.accounts) if entry is not None else frozenset()


def check_succession(before: Lab, after: Lab) -> None:
    """Refuse a lab in which an id keeps none of its accounts: that is another person under an old name.

    Raises Invalid `policy.accounts_replaced`.
    """
    for id_ in sorted(before.people.keys() & after.people.keys()):
        had, has = accounts_of(before, id_), accounts_of(after, id_)
        if had and has and not had & has:
            raise Invalid(
                "policy.accounts_replaced",
                f"Person '{id_}' would keep none of their accounts, so whoever has the new ones would pass for them.",
                f"Take a new id for another person. For the same one publish '{id_}' with the old and the new "
                "account, have them sign in with the new one, and then publish without the old one.",
            )
