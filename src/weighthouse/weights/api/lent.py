"""Lending: data keys of a run go to its lender, never to the run. Guards ciphertext from code that prints a key.

32 bytes in the output of a run would open a version for whoever holds its ciphertext, for ever, and no budget of
bytes would notice. So a run is given no data key, sealed or plain, and may not name whom one is sealed to; a lender
outside it decrypts and encrypts, for as long as a lease lasts. While it does, access is asked again.
"""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

import msgspec

from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Denied, Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.weights.api import ends
from weighthouse.weights.api.classes import person_of, run_of
from weighthouse.weights.api.sealing import open_version
from weighthouse.weights.events import KeysInRunRefused
from weighthouse.weights.model import Lease, LoadTicket, SaveTicket, TicketKey
from weighthouse.weights.ports import Lender, LenderBeside, Lending


class Lent(msgspec.Struct, frozen=True):
    """A lease that a lender has: of whom, of what, and until when."""

    caller: Caller
    version: str
    until: Millis


class Lenders:
    """The lenders of the runs of one server, in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, Lender] = {}
        self._leases: dict[str, dict[str, Lent]] = {}

    def keep(self, run: str, lender: Lender) -> None:
        with self._lock:
            self._of[run], self._leases[run] = lender, {}

    def drop(self, run: str) -> None:
        with self._lock:
            self._of.pop(run, None)
            self._leases.pop(run, None)

    def of(self, run: str) -> Lender:
        """The lender of a run; Unavailable `weights.no_lender`."""
        with self._lock:
            found = self._of.get(run)
        if found is None:
            raise Unavailable(
                "weights.no_lender", "This run has no lender, so nothing is opened for it.", "Submit the run again."
            )
        return found

    def leased(self, run: str, lease: str, lent: Lent) -> None:
        with self._lock:
            self._leases.setdefault(run, {})[lease] = lent

    def ended(self, run: str, lease: str) -> None:
        with self._lock:
            self._leases.get(run, {}).pop(lease, None)

    def leases(self, run: str) -> dict[str, Lent]:
        with self._lock:
            return dict(self._leases.get(run, {}))


_lenders: weakref.WeakKeyDictionary[System, Lenders] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def lenders(system: System) -> Lenders:
    """Who lends to the runs of this server."""
    with _lock:
        return _lenders.setdefault(system, Lenders())


def open_lender(system: System, run: str, folder: Path) -> LenderBeside:
    """Start the lender of a run in a folder of its own, from the thread that lives as long as the run."""
    found = system.part(Lending).start(folder)
    lenders(system).keep(run, found)
    return found


def recipient_for(unit: Unit, caller: Caller, model: str, named: bytes) -> bytes:
    """Whom data keys for `caller` are sealed to: a person's own key, a run's lender. Raises `weights.keys_in_run`."""
    run = run_of(caller)
    if run and named:
        raise _in_run(caller, run, model)
    return named if named or not run else lenders(unit.system).of(run).recipient


def keys_for(unit: Unit, caller: Caller, model: str, named: bytes, signer: bytes) -> tuple[bytes, bytes]:
    """The same for a save, with the key that signs its manifest."""
    run = run_of(caller)
    if not run:
        return named, signer
    recipient = recipient_for(unit, caller, model, named or signer)
    return recipient, lenders(unit.system).of(run).signer


def _in_run(caller: Caller, run: str, model: str) -> WeighthouseError:
    return Denied(
        "weights.keys_in_run",
        "A run named a key of its own for data keys to be sealed to. Data keys are given to no run.",
        "Load and save with the SDK of this server, which has the run's lender decrypt and encrypt.",
        record=[KeysInRunRefused(run=run, model=model, person=person_of(caller))],
    )


def lend(system: System, caller: Caller, ticket: LoadTicket) -> LoadTicket:
    """Hand a load that was begun to the run's lender; return what the run itself may have of it: no key."""
    run = run_of(caller)
    if not run:
        return ticket
    found = lenders(system)
    found.of(run).lend(ticket)
    found.leased(run, ticket.lease, Lent(caller, ticket.version, ticket.lease_until))
    return msgspec.structs.replace(ticket, keys=_without(ticket.keys))


def write(system: System, caller: Caller, ticket: SaveTicket) -> SaveTicket:
    """Hand a save that was begun to the run's lender; return what the run itself may have of it: no key."""
    run = run_of(caller)
    if not run:
        return ticket
    lenders(system).of(run).write(ticket)
    return msgspec.structs.replace(ticket, keys=_without(ticket.keys))


def _without(keys: tuple[TicketKey, ...]) -> tuple[TicketKey, ...]:
    return tuple(msgspec.structs.replace(key, sealed=b"") for key in keys)


def extend(system: System, caller: Caller, lease: Lease) -> Lease:
    """Let a run's lender go on, as its lease does."""
    run = run_of(caller)
    if run:
        found = lenders(system)
        found.of(run).extend(lease.lease, lease.lease_until - lease.now)
        found.leased(run, lease.lease, Lent(caller, lease.version, lease.lease_until))
    return lease


def look(system: System, run: str) -> None:
    """Ask again for everything that is lent to a run at this moment, and end what access refuses, with its line."""
    found = lenders(system)
    for lease, lent in found.leases(run).items():
        try:
            over = _over(system, lent)
        except WeighthouseError:
            found.ended(run, lease)
            found.of(run).end(lease)
            continue
        if over:
            found.ended(run, lease)


def _over(system: System, lent: Lent) -> bool:
    """Whether a lease has ended; raises what it is refused for by now."""
    with read(system, lent.caller) as unit:
        sealed = open_version(unit, lent.version)
        ends.check_lives(unit, sealed.version)
        if access.explain(unit, lent.caller, "weights.load", sealed.version.model, version=lent.version).allowed:
            return unit.now >= lent.until
    with begin(system, lent.caller) as unit:  # so that the refusal has its line
        access.require(unit, lent.caller, "weights.load", sealed.version.model, version=lent.version)
    return False
