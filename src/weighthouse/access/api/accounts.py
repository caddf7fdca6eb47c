"""What a change of policy does to what an account was given. Guards grants and requests from its next owner.

Every use checks the account anyway; here the ends are written down with the change, in its transaction, so that they
stay ends when the account comes back and everybody reads why.
"""

from __future__ import annotations

from collections.abc import Container

from weighthouse.access.api.grants import end_grant
from weighthouse.access.api.owing import close
from weighthouse.access.api.requests import settle
from weighthouse.access.api.sealing import open_grant, open_request
from weighthouse.access.events import GrantEnded, RequestLapsed
from weighthouse.access.ports import Refusals
from weighthouse.access.store import grants as grant_rows
from weighthouse.access.store import requests as rows
from weighthouse.audit import api as audit
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

MOVED = "access.account_moved"


def settle_accounts(unit: Unit, before: policy.Lab, after: policy.Lab) -> None:
    """End what rests on accounts that `after` takes from their people: sessions, devices, grants, open requests."""
    for person in sorted(before.people):
        if policy.accounts_of(before, person) - policy.accounts_of(after, person):
            _settle(unit, person)


def _settle(unit: Unit, person: str) -> None:
    read = set[str]()
    for row in grant_rows.running(unit.conn, person, unit.now):
        sealed = open_grant(unit, row)
        if sealed is None or sealed.grant.id != row.id:
            continue
        read.add(row.id)
        if unit.part(Refusals).closed(row.id):
            continue
        if not identity.account_holds(unit, person, sealed.grant.request.account):
            end_grant(unit, row, "account_moved", "system", "")
    _end_unread(unit, person, read)
    for waiting in rows.pending_of(unit.conn, person, unit.now):
        request = open_request(unit, waiting)
        if request is None or unit.part(Refusals).closed(request.id):
            continue
        if not identity.account_holds(unit, person, request.account):
            settle(unit, request, "invalidated", MOVED)
            audit.append(unit, RequestLapsed(request_id=request.id, why=MOVED))
    identity.settle_accounts(unit, person)


def _end_unread(unit: Unit, person: str, read: Container[str]) -> None:
    """End what was given to a person, by the memory outside the database, where no row tells to which account: one
    that is hidden or broken now is over when it is put back."""
    for held in unit.part(Refusals).held_apart(person):
        if held.end <= unit.now or held.grant in read or unit.part(Refusals).closed(held.grant):
            continue
        line = GrantEnded(
            grant=held.grant, principal=person, resource=held.resource, why="account_moved", by="system", text=""
        )
        close(unit, [held.grant], line)
        audit.append(unit, line)
