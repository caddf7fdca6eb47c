"""Opening, settling and closing the one way out of a run. Guards against bytes that nobody debited.

`settle` is called at every poll: it reads the forwarder's counts, puts new connections on record, debits ahead, and
feeds what was lent; it cuts the way when nothing more is lent, when the count cannot be read, when the ledger cannot
be reached, or when a run keeps knocking at closed doors. Who does not settle feeds nothing, and an unfed forwarder
stops by itself, so that a stopped server lets nothing pass but what it had lent already.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.errors import Invalid, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.egress import store
from weighthouse.egress.api import accounts, remembered
from weighthouse.egress.api.ledger import check_reader, debit
from weighthouse.egress.api.lending import hand_back, is_old, lend, redate
from weighthouse.egress.api.paying import join, payers
from weighthouse.egress.api.verdicts import standing, token_digest
from weighthouse.egress.events import Connected, Unfed, WayClosed, WayOpened
from weighthouse.egress.model import Credit, Destination, Key, WayRow
from weighthouse.egress.ports import Count, Proxy, ProxyHandle, ProxySpec
from weighthouse.egress.rules import addresses
from weighthouse.egress.rules import budgets as rules
from weighthouse.egress.rules.hosts import read_host
from weighthouse.policy import api as policy

MOST_ADDRESSES = 16
IDLE_S = 5.0  # after which what was lent to a destination and is not used comes back


class Way:
    """A way that is open in this process. `socket` is the one thing the run may see of it."""

    def __init__(self, row: WayRow, handle: ProxyHandle, socket_path: Path, digest: str) -> None:
        self.run = row.run
        self.profile = row.profile
        self.socket = socket_path
        self.proxy_digest = digest
        self.handle = handle
        self.counted: dict[str, int] = {}
        self.told: dict[str, int] = {}  # connections that the log tells of, by destination
        self.unfed = 0
        self.moved: dict[str, tuple[int, float]] = {}  # when more was last sent, by destination
        self.cut_for = ""
        self.last: Count | None = None
        self.lock = threading.Lock()

    @property
    def sent(self) -> int:
        """Bytes sent out so far, as last counted."""
        return sum(self.counted.values())

    def cut(self, why: str) -> None:
        """Stop the forwarder, take its last counts, end it; every later call keeps the first reason."""
        if not self.cut_for:
            self.cut_for = why
            with contextlib.suppress(WeighthouseError):
                self.handle.feed({}, {})  # no credit is left from here on, so that the next count is the last word
                self.last = self.handle.count()
                self.counted = self.last.sent
        self.handle.cut()


def profiles(unit: Unit, caller: Caller | None = None) -> list[policy.EgressProfile]:
    """Return the profiles a run may name."""
    check_reader(unit, caller)
    return list(policy.current(unit).lab.egress_profiles.values())


def way_of(unit: Unit, run: str) -> WayRow | None:
    """Return the way of a run as the ledger knows it."""
    return remembered.way(unit, run)


def left_open(unit: Unit) -> list[str]:
    """Return the runs whose ways are not closed."""
    return [row.run for row in store.open_ways(unit.conn)]


def open_way(
    system: System, *, run: str, profile: str, model: str, person: str, folder: Path, judge: Path, broker: Path,
    given: Iterable[str] = (),
) -> Way:  # fmt: skip
    """Start the proxy of `run` in `folder` (private, 0700) and open its way; models `given` to it pay as well.

    Call it from the thread that lives as long as the run: the proxy dies with that thread. Raises
    `egress.unknown_profile`, `egress.proxy_failed`.
    """
    token = secrets.token_urlsafe(32)
    resolved = _resolve(system, profile)  # before the transaction: a slow resolver must hold up nobody's changes
    row = WayRow(run=run, profile=profile, model=model, person=person, opened=0)
    with begin(system, SYSTEM) as unit:
        row, destinations = _add(unit, row, token, resolved)
        join(unit, run, given)
    outside = folder / "way"
    outside.mkdir(mode=0o755)
    inside = folder / "proxy"
    inside.mkdir(mode=0o700)
    proxy = system.part(Proxy)
    spec = ProxySpec(
        run=run, token=token, folder=inside, socket=outside / "socket", judge=judge, broker=broker,
        destinations=destinations,
    )  # fmt: skip
    try:
        handle = proxy.start(spec)
    except BaseException:
        with begin(system, SYSTEM) as unit:
            _close(unit, run, "the proxy did not start")
        raise
    return Way(row, handle, outside / "socket", proxy.digest)


def _add(
    unit: Unit, row: WayRow, token: str, resolved: dict[policy.EgressEntry, tuple[str, ...]]
) -> tuple[WayRow, tuple[Destination, ...]]:
    """Store a way and say where it leads."""
    bundle = policy.current(unit)
    found = bundle.lab.egress_profiles.get(row.profile)
    if found is None:
        raise Invalid("egress.unknown_profile", f"There is no egress profile '{row.profile}'.", "Name a listed one.")
    row = msgspec.structs.replace(row, opened=unit.now)
    sizes = {
        entry: rules.lease_size(list(payers(unit, row, f"{entry.host}:{entry.port}").values()))
        for entry in found.entries
    }
    live = [entry for entry in found.entries if entry.ends > unit.now]
    pinned = {entry: _pin(entry, resolved.get(entry, ()), rules.rate(sizes[entry])) for entry in live}
    destinations = tuple(place for place in pinned.values() if place is not None)
    fact = WayOpened(
        run=row.run,
        model=row.model,
        profile=row.profile,
        policy_digest=bundle.digest,
        destinations=tuple(f"{place.host}:{place.port}" for place in destinations),
        unresolved=tuple(f"{entry.host}:{entry.port}" for entry, place in pinned.items() if place is None),
    )
    row = msgspec.structs.replace(row, leads=" ".join(fact.destinations))
    remembered.opened(unit, row, token_digest(token))
    audit.append(unit, fact)
    return row, destinations


def _resolve(system: System, profile: str) -> dict[policy.EgressEntry, tuple[str, ...]]:
    """Resolve every entry of a profile once; the forwarder connects to these numbers and asks nobody again.

    A name that leads anywhere but outside is not followed (rebinding, metadata service); only a private link, which
    names its address in the signed policy, may lead inside.
    """
    with read(system) as unit:
        found = policy.current(unit).lab.egress_profiles.get(profile)
    entries = found.entries if found else ()
    linked = {
        entry: (entry.address,)
        for entry in entries
        if entry.kind == "private-link" and entry.address and addresses.is_linkable(entry.address)
    }
    proxy = system.part(Proxy)
    named = [entry for entry in entries if entry.kind != "private-link"]
    return {**linked, **{entry: public_addresses(proxy, entry.host, entry.port) for entry in named}}


def _pin(entry: policy.EgressEntry, found: tuple[str, ...], rate: int) -> Destination | None:
    """Pin what an entry was resolved to for the life of the way; None when it leads nowhere that may be reached."""
    if not found:
        return None
    return Destination(
        host=read_host(entry.host, entry.port).host,
        port=entry.port,
        tls=bool(getattr(entry, "tls", True)),
        addresses=found,
        address_port=entry.port,
        rate=rate,
    )


def public_addresses(proxy: Proxy, host: str, port: int) -> tuple[str, ...]:
    """Return the addresses that `host` resolves to on this machine, none if any of them is not of the outside."""
    found = proxy.resolve(host, port)
    if not all(addresses.is_global(address) for address in found):
        return ()
    return tuple(sorted(found))[:MOST_ADDRESSES]


def settle(system: System, way: Way) -> bool:
    """Count, debit, lend, feed; return whether the way is still open. Never raises: what cannot be settled is cut."""
    with way.lock:
        if way.cut_for:
            return False
        try:
            why = _settle(system, way)
        except WeighthouseError as error:
            why = error.code
        except Exception as error:
            why = f"egress.ledger_unreachable ({type(error).__name__})"
        if why:
            way.cut(why)
        return not why


def _settle(system: System, way: Way) -> str:
    """Return why the way must be cut, empty when it was fed."""
    now = way.handle.count()
    with read(system) as unit:
        why = _standing(unit, way.run)
        lent = remembered.credits_of(unit, way.run)
        old = any(is_old(unit, credit) for credit in lent.values())
    idle: set[str] = set() if why else _idle(way, now, lent)
    if idle:
        now, idle = _take_back(way, now, lent, idle)
    if not why and (old or idle or now.sent != way.counted or now.made != way.told or now.unfed != way.unfed):
        with begin(system, SYSTEM) as unit:
            why = _standing(unit, way.run) or _debit(unit, way, now, idle) or _tell(unit, way, now)
            lent = remembered.credits_of(unit, way.run)
        if not why:
            way.counted, way.told, way.unfed = now.sent, now.made, now.unfed
    if not why:
        way.handle.feed({name: credit.granted for name, credit in lent.items()}, way.told)
    return why


def _idle(way: Way, now: Count, lent: Mapping[str, Credit]) -> set[str]:
    """Return the destinations that have sent nothing for a while and were lent more than they need to go on."""
    moment = time.monotonic()
    for name, sent in now.sent.items():
        if name not in lent or way.moved.get(name, (-1, 0.0))[0] != sent:
            way.moved[name] = (sent, moment)
    return {
        name
        for name, credit in lent.items()
        if name in way.moved
        and moment - way.moved[name][1] >= IDLE_S
        and credit.granted > now.sent[name] + now.held[name] + rules.SLIVER
    }


def _take_back(way: Way, before: Count, lent: Mapping[str, Credit], idle: set[str]) -> tuple[Count, set[str]]:
    """Have the forwarder let go of what idle destinations do not need; return its counts since and who is idle yet.

    The order comes before the ledger: what it still sends is bounded by its answer, and only the rest may be lent to
    others.
    """
    fewer = {name: before.sent[name] + before.held[name] + rules.SLIVER for name in idle}
    way.handle.feed({**{name: credit.granted for name, credit in lent.items()}, **fewer}, way.told)
    now = way.handle.count()
    return now, {name for name in idle if now.sent[name] == before.sent[name]}


def _tell(unit: Unit, way: Way, now: Count) -> str:
    """Put connections on record once they were made; the forwarder lets no byte over one before it is."""
    if now.unfed > way.unfed:
        audit.append(unit, Unfed(run=way.run, sent_bytes=sum(now.sent.values())))
    for destination, count in now.made.items():
        host, _, port = destination.rpartition(":")
        for _ in range(count - way.told.get(destination, 0)):
            audit.append(unit, Connected(run=way.run, profile=way.profile, host=host, port=int(port)))
    return ""


def _standing(unit: Unit, run: str) -> str:
    """Return why the way of `run` may not stay open, empty if it may."""
    row = remembered.way(unit, run)
    if row is None or row.closed is not None:
        return "egress.way_closed"
    if row.refused >= unit.system.settings.integer("egress.max_refusals"):
        return "egress.too_many_refusals"
    if row.connected >= unit.system.settings.integer("egress.max_connections"):
        return "egress.too_many_connections"
    return "" if row.spent_at is None else "egress.budget_spent"


def _debit(unit: Unit, way: Way, now: Count, idle: set[str]) -> str:
    """Bring the ledger up to what was counted and lend ahead, or take back from who is `idle`.

    Return why the way must be cut, empty if it need not.
    """
    row = remembered.way(unit, way.run, lock=True)
    assert row is not None, "judged to be open in this unit"
    lent = remembered.credits_of(unit, way.run)
    if len(lent) > 1:  # all at once, so that two ways with the same destinations never wait in a circle
        store.lock_accounts(unit.conn, {key for destination in lent for key in payers(unit, row, destination)})
    for destination, sent in now.sent.items():
        credit = lent.get(destination)
        if credit is None:
            if sent:
                return "egress.undebited"  # bytes left before any verdict: this must never happen
            continue
        before, credit = credit.sent, msgspec.structs.replace(credit, sent=sent)
        remembered.keep_credit(unit, credit)
        credit = redate(unit, row, credit)
        if destination in idle:
            hand_back(unit, row, credit, now.held[destination] + rules.SLIVER)
        elif sent > before:
            # A tunnel that was opened while its entry stood carries nothing once that is gone (research case 57).
            why = standing(unit, row, destination) or _lend(unit, row, credit, now.held[destination])
            if why:
                return why
    return ""


def _lend(unit: Unit, row: WayRow, credit: Credit, held: int) -> str:
    """Lend ahead; say cut when nothing is left and nothing more is lent."""
    if credit.left < 0:
        paying = payers(unit, row, credit.destination)
        store.lock_accounts(unit.conn, paying)
        debit(unit, paying, -credit.left)  # the truth goes into the ledger even where a cut came late
    return "" if lend(unit, row, credit.destination, credit.left, held) else "egress.budget_spent"


def close_way(system: System, way: Way, reason: str) -> None:
    """End the proxy, count what it carried, hand back what was lent and not used, and append `egress.WayClosed`.

    Where the last count could not be had, all that was lent counts as sent: a record is never below the truth.
    """
    with way.lock:
        way.cut(reason)
        with begin(system, SYSTEM) as unit:
            row = remembered.way(unit, way.run, lock=True)
            lent = remembered.credits_of(unit, way.run).values()
            if way.last is None:
                way.counted = {credit.destination: credit.granted for credit in lent}
            else:
                _tell(unit, way, way.last)
            for credit in lent:
                kept = msgspec.structs.replace(credit, sent=max(credit.sent, way.counted.get(credit.destination, 0)))
                remembered.keep_credit(unit, kept)
                if row is not None:
                    hand_back(unit, row, kept)
            _close(unit, way.run, way.cut_for)


def _close(unit: Unit, run: str, reason: str, least: int = 0) -> int:
    """Put the end of a way on record, if it was open, and return the bytes that it sent: `least` at the least."""
    lent = remembered.credits_of(unit, run).values()
    sent, granted = max(least, sum(one.sent for one in lent)), max(least, sum(one.granted for one in lent))
    if remembered.mark_closed(unit, run):
        row = remembered.way(unit, run)
        refused = row.refused if row else 0
        audit.append(unit, WayClosed(run=run, reason=reason, sent_bytes=sent, granted_bytes=granted, refused=refused))
    return sent


def close_lost(unit: Unit, run: str) -> int:
    """Close the way of a run whose server died, and return the bytes it may have sent.

    Nobody counted to the end: all that was lent stays debited and counts as sent. A record is never below the truth.
    """
    for credit in remembered.credits_of(unit, run).values():
        remembered.keep_credit(unit, msgspec.structs.replace(credit, sent=credit.granted))
    return _close(unit, run, "the server that counted it ended", least=accounts.own(unit, Key("run", run)))
