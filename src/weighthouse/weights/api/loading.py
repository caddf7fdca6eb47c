"""Loading: the data keys of one version for one reader, for a while, within the day's budget. Guards the way out.

The version is checked whole, access is asked, the day's bytes are charged, keys asks access again and seals each data
key to the reader's own key: one transaction, so that nothing is released that is not also charged and logged.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import SECOND
from weighthouse.core.errors import Conflict, NotFound
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.keys import api as keys
from weighthouse.weights import store
from weighthouse.weights.api import ends, lent
from weighthouse.weights.api.budgets import charge
from weighthouse.weights.api.classes import class_of, person_of, run_of
from weighthouse.weights.api.sealing import Sealed, open_version
from weighthouse.weights.api.telling import pay_load, pay_step
from weighthouse.weights.events import LoadStarted
from weighthouse.weights.model import Lease, LoadTicket, ShardKey, TicketKey, setting
from weighthouse.weights.rules.limits import lease_end, verify_level
from weighthouse.weights.rules.manifests import places


def begin_load(unit: Unit, caller: Caller, version: str, recipient: bytes = b"") -> LoadTicket:
    """Release the data keys of a version under a lease, sealed to `recipient` (raw X25519); a run's to its lender.

    Raises Denied, NotFound `weights.no_version`, Conflict `weights.destroyed`, TooMany `weights.read_budget`,
    `egress.payer_spent`, `egress.said_spent`, Denied `weights.keys_in_run` for a run that names a recipient, and
    `weights.row_seal`, `weights.envelope` or `weights.rolled_back` when the registry was altered.
    """
    sealed = open_version(unit, check_id(version, "ver"))
    found = sealed.version
    decision = access.require(unit, caller, "weights.load", found.model, version=found.id)
    listed = wrapped_keys(unit, sealed)
    cls = class_of(unit, found.model)
    spent = charge(unit, caller, found, cls.read_budget_bytes)
    recipient = lent.recipient_for(unit, caller, found.model, recipient)
    released = unwrap(unit, caller, sealed, listed, recipient, action="weights.load", operation={"version": found.id})
    seconds = setting(unit.system.settings, "weights.lease_s")
    assert isinstance(seconds, int)
    until = lease_end(unit.now, seconds * SECOND, decision.until, cls.assurance)
    lease = new_id("lse")
    store.add_lease(unit.conn, lease, found.id, caller.principal, until)
    audit.append(
        unit,
        LoadStarted(
            version=found.id,
            model=found.model,
            person=person_of(caller),
            run=run_of(caller),
            bytes=found.bytes,
            spent=spent,
            lease=lease,
            until=until,
            session=caller.session or "",
        ),
    )
    return LoadTicket(
        version=found.id,
        tenant=sealed.save.tenant,
        model=found.model,
        save=found.save,
        digest=found.digest,
        manifest=sealed.envelope.decode(),
        signer=sealed.save.signer,
        lease=lease,
        lease_until=until,
        now=unit.now,
        verify=verify_level(cls.assurance),
        prefix=found.prefix,
        keys=released,
    )


def wrapped_keys(unit: Unit, sealed: Sealed) -> list[ShardKey]:
    """The wrapped data keys of a version that was not destroyed, and is not about to be."""
    ends.check_lives(unit, sealed.version)
    return kept_keys(unit, sealed)


def kept_keys(unit: Unit, sealed: Sealed) -> list[ShardKey]:
    """The wrapped data keys of a version that is not destroyed: for what keeps them, and opens nothing."""
    listed = store.find_keys(unit.conn, sealed.version.save)
    if not listed or ends.is_over(unit, sealed.version):
        raise ends.gone()
    return listed


def unwrap(
    unit: Unit,
    caller: Caller,
    sealed: Sealed,
    listed: Sequence[ShardKey],
    recipient: bytes,
    *,
    action: str,
    operation: dict[str, str] | None = None,
) -> tuple[TicketKey, ...]:
    """Have keys unwrap and reseal every data key of a version, each in its own place; its models pay first."""
    pay_load(unit, caller, sealed.version)
    contexts = [
        place.context() for place in places(sealed.save, [(key.shard, key.index, key.media) for key in listed])
    ]
    items = [
        (keys.Wrapped(key.kek, key.kek_version, key.blob), context)
        for key, context in zip(listed, contexts, strict=True)
    ]
    released = keys.unwrap(
        unit,
        caller,
        resource=sealed.version.model,
        items=items,
        recipient=recipient,
        action=action,
        operation=operation,
    )
    return tuple(
        TicketKey(shard=key.shard, index=key.index, media=key.media, sealed=out.sealed)
        for key, out in zip(listed, released, strict=True)
    )


def renew(unit: Unit, caller: Caller, lease: str) -> Lease:
    """Extend a reader's lease if it has not ended and access still says yes; before half its time, at a price.

    Raises NotFound `weights.no_lease`, Conflict `weights.lease_ended`, Denied.
    """
    found = store.find_lease(unit.conn, check_id(lease, "lse"))
    if found is None or found[1] != caller.principal:
        raise NotFound("weights.no_lease", "There is no such lease.", "Begin a new load.")
    version, _, until = found
    if unit.now >= until:
        raise Conflict("weights.lease_ended", "This lease has ended.", "Begin a new load.")
    sealed = open_version(unit, version)
    decision = access.require(unit, caller, "weights.load", sealed.version.model, version=version)
    wrapped_keys(unit, sealed)
    seconds = setting(unit.system.settings, "weights.lease_s")
    assert isinstance(seconds, int)
    cls = class_of(unit, sealed.version.model)
    if (until - unit.now) * 2 > lease_end(unit.now, seconds * SECOND, None, cls.assurance) - unit.now:
        pay_step(unit, caller, sealed.version)  # which lease is renewed, and when, is the run's choice
    until = lease_end(unit.now, seconds * SECOND, decision.until, cls.assurance)
    store.extend_lease(unit.conn, lease, until)
    return Lease(lease=lease, version=version, lease_until=until, now=unit.now)
