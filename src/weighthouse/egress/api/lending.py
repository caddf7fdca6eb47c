"""What is lent to a way for a destination. Guards budgets from credit that is hoarded, and runs from each other's.

A lease debits every account that pays, before a byte of it may leave. It is a share of what is left, so that runs one
beside another come to the end of a budget and not to the end of each other's leases. What lies unused comes back in
seconds. What is kept is debited anew in each bucket of time: credit kept for an hour would leave beside the next
hour's.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.errors import NotFound
from weighthouse.core.work import Unit
from weighthouse.egress import store
from weighthouse.egress.api import accounts, remembered
from weighthouse.egress.api.ledger import debit, room
from weighthouse.egress.api.paying import payers
from weighthouse.egress.events import BudgetSpent
from weighthouse.egress.model import Credit, Key, WayRow
from weighthouse.egress.rules import budgets as rules


def lease(unit: Unit, run: str, profile: str, host: str, want: int) -> int:
    """Lend `want` bytes to `run` for the destination `host:port`: all of it, or 0 when any account has too little.

    The first refusal appends `egress.BudgetSpent`, once for each run. While the clock is suspect nothing is lent: a
    clock set ahead would empty every window (research case 55). Raises `egress.no_way`.
    """
    way = remembered.way(unit, run, lock=True)
    if way is None or way.profile != profile or way.closed is not None:
        raise NotFound("egress.no_way", f"{run} has no open way out under {profile}.", "Submit a new run.")
    paying = payers(unit, way, host)
    _, empty = rules.grant(want, room(unit, paying))
    credit = remembered.credits_of(unit, run).get(host) or Credit(
        run=run, destination=host, granted=0, sent=0, last_bucket=0, last_bytes=0
    )
    if empty is not None:
        if remembered.mark_spent(unit, way):
            audit.append(unit, _spent(way, host, empty, credit.sent))
        return 0
    credit = redate(unit, way, credit)
    debit(unit, paying, want)
    remembered.keep_credit(
        unit, msgspec.structs.replace(credit, granted=credit.granted + want, last_bytes=credit.last_bytes + want)
    )
    return want


def _spent(way: WayRow, destination: str, empty: Key, sent: int) -> BudgetSpent:
    return BudgetSpent(
        run=way.run,
        profile=way.profile,
        host=destination,
        level=empty.level,
        account=empty.name,
        sent_bytes=sent,
    )


def lend(unit: Unit, way: WayRow, destination: str, left: int, held: int = 0) -> bool:
    """Lend a share of what all accounts have left, if less than such a share of the way's credit is free.

    Of the `left` bytes of its credit `held` are spoken for. Return False when it has no credit and gets none: then
    its budget is spent, and the log says so.
    """
    paying = payers(unit, way, destination)
    size = rules.lease_size(list(paying.values()))
    while left - held < size:
        share = rules.share(size, room(unit, paying))
        if left > 0 and left - held >= share:
            return True
        granted = lease(unit, way.run, way.profile, destination, share or rules.SLIVER) if share or left <= 0 else 0
        if not granted:
            return left > 0
        left += granted
    return True


def redate(unit: Unit, way: WayRow, credit: Credit) -> Credit:
    """Debit what is unspent of a credit in the bucket of now instead of the earlier one that it was lent in.

    What leaves an hour after it was lent would otherwise leave beside all that the next hour allows. By a clock that
    cannot be believed nothing is moved.
    """
    bucket = unit.now // store.BUCKET
    if credit.last_bucket == bucket or (unit.clock_suspect and credit.last_bucket):
        return credit
    # By a clock that went back, what was lent stays debited in its later bucket: that counts for longer, not less.
    kept = max(0, min(credit.left, credit.last_bytes)) if credit.last_bucket < bucket else 0
    if kept:
        paying = payers(unit, way, credit.destination)
        store.lock_accounts(unit.conn, paying)
        for key in paying:
            accounts.debit(unit, key, credit.last_bucket, -kept)
        debit(unit, paying, kept)
    moved = msgspec.structs.replace(credit, last_bucket=bucket, last_bytes=kept)
    if credit.granted:
        remembered.keep_credit(unit, moved)
    return moved


def is_old(unit: Unit, credit: Credit) -> bool:
    """Return whether unspent credit still stands in an earlier bucket than that of now."""
    return (
        min(credit.left, credit.last_bytes) > 0
        and credit.last_bucket < unit.now // store.BUCKET
        and not unit.clock_suspect
    )


def hand_back(unit: Unit, way: WayRow, credit: Credit, kept: int = 0) -> None:
    """Return what is unspent but for `kept` bytes to the bucket it came from, so that no window gains."""
    unspent = min(credit.left - kept, credit.last_bytes)
    if unspent <= 0:
        return
    paying = payers(unit, way, credit.destination)
    store.lock_accounts(unit.conn, paying)
    for key in paying:
        accounts.debit(unit, key, credit.last_bucket, -unspent)
    remembered.keep_credit(
        unit,
        msgspec.structs.replace(credit, granted=credit.granted - unspent, last_bytes=credit.last_bytes - unspent),
    )
