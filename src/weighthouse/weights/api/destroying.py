"""Destroying a version: ordered, then final after a time. Guards weights from being ended by one person, or in anger.

An order takes a grant for exactly this version, which somebody else has approved, and no hold on model or lab. Until
it is final nothing is opened and nothing is lost, and it can be undone. At the end a timer asks again: a hold, an
approval that was taken back or a row that does not hold undoes the order, with a line.
"""

from __future__ import annotations

import contextlib

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Conflict, Denied, WeighthouseError
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.keys import api as keys
from weighthouse.weights import store
from weighthouse.weights.api import ends, ordering
from weighthouse.weights.api.collecting import forget
from weighthouse.weights.api.loading import wrapped_keys
from weighthouse.weights.api.sealing import open_version, seal
from weighthouse.weights.events import CheckpointDestroyed, DestructionOrdered, DestructionUndone
from weighthouse.weights.model import COMMITTED, DESTROYED, DOOMED, Destruction, Version
from weighthouse.weights.ports import ObjectStore
from weighthouse.weights.rules.paths import kept_prefix

ACTION = "weights.destroy"


def destroy(unit: Unit, caller: Caller, version: str, reason: str) -> Destruction:
    """Order the destruction of a version: final after `weights.destroy_grace_s`, and nothing is opened meanwhile.

    Needs a grant for `weights.destroy` of exactly this version, used by the person who asked for it. Raises Denied
    (no such grant, any hold), NotFound, Conflict `weights.destroyed`, `weights.being_destroyed`,
    `weights.order_used`.
    """
    sealed = open_version(unit, check_id(version, "ver"))
    found = sealed.version
    ordering.check_person(caller)
    decision = access.require(unit, caller, ACTION, found.model, version=found.id)
    visible.check(reason, "The reason")
    wrapped_keys(unit, sealed)
    grant = ordering.approval(unit, ends.VERSIONS, found.id, decision)
    order = DestructionOrdered(
        order=new_id("dst"),
        version=found.id,
        model=found.model,
        person=caller.principal,
        session=caller.session or "",
        approvers=tuple(vote.voter for vote in grant.votes),
        grant=grant.id,
        final=unit.now + ordering.grace(unit),
        reason=reason[:500],
    )
    _turn(unit, found, DOOMED)
    audit.append(unit, order)
    return _told(found, order)


def undestroy(unit: Unit, caller: Caller, version: str, reason: str) -> Version:
    """Undo an order before it is final: by who gave it, who approved it, or whoever may destroy this version.

    It opens again what two people closed, so it takes a second factor that was given for exactly this. Raises Denied,
    NotFound, Conflict `weights.destroyed`, `weights.not_being_destroyed`, Unauthenticated `identity.act_unconfirmed`.
    """
    found = open_version(unit, check_id(version, "ver")).version
    order = ends.VERSIONS.open_on(unit, found.id)
    if not ordering.is_one_of(caller, order):
        access.require(unit, caller, ACTION, found.model, version=found.id)
    visible.check(reason, "The reason")
    if ends.is_over(unit, found):
        raise ends.gone()
    if order is None:
        raise ordering.not_open("version")
    identity.require_act(unit, caller, identity.Act(type="version.undestroy", subject=found.id))
    _undo(unit, order, found, by=caller.principal, reason=reason[:500], session=str(caller.session or ""))
    return msgspec.structs.replace(found, state=COMMITTED)


def destruction(unit: Unit, version: str) -> Destruction | None:
    """The open order to destroy a version, for who may know of the version; None if there is none."""
    order = ends.VERSIONS.open_on(unit, version)
    if order is None:
        return None
    said = {name: order.data[name] for name in ("order", "version", "model", "person", "final")}
    return Destruction(**said, approvers=tuple(order.data["approvers"]))


def finish(system: System) -> int:
    """Carry out every order whose time has come, or undo it if something stands against it now; return how many
    versions went. May be killed at any step and run again."""
    with read(system) as unit:
        due = [order for order in ends.VERSIONS.open(unit) if order.data["final"] <= unit.sure]
    gone = 0
    for order in due:
        with contextlib.suppress(WeighthouseError):  # the database may be away; the next turn asks again
            gone += _finish(system, str(order.data["version"]))
    return gone


def _finish(system: System, version: str) -> bool:
    with begin(system) as unit:
        store.lock_version(unit.conn, version)  # first, so that nothing is waited for between questions and end
        order = ends.VERSIONS.open_on(unit, version)
        if order is None or order.data["final"] > unit.sure or _just_undone(unit, order):
            return False
        try:
            found = open_version(unit, version).version
        except (Denied, Conflict) as refusal:  # its lines are written here once, and the order is over with them
            for line in refusal.record:
                audit.append(unit, line)
            _undo(unit, order, None, code=refusal.code)
            return False
        stop = _stop(unit, order, found)
        if stop is not None:
            _undo(unit, order, found, code="access.held", hold=stop.hold)
            return False
        code = ordering.against(unit, order, as_sealed=found.state == DOOMED)
        if code:
            _undo(unit, order, found, code=code)
            return False
        unit.ask_last(lambda: ordering.check_still(unit, order, _stop(unit, order, found)))
        _end(unit, order, found)
        return True


def _just_undone(unit: Unit, order: audit.Entry) -> bool:
    """Whether the line that undoes an order waits for the sequencer of PostgreSQL: it is not written twice."""
    return any(one["order"] == order.data["order"] for one in audit.on_its_way(unit, DestructionUndone.KIND))


def _stop(unit: Unit, order: audit.Entry, found: Version) -> access.Stop | None:
    return access.held_by(unit, ACTION, found.model, order.data["person"], found.id)


def _end(unit: Unit, order: audit.Entry, found: Version) -> None:
    """Drop the wrapped keys (crypto-shredding); its objects go once that is durable. Nothing brings it back."""
    store.drop_keys(unit.conn, found.save)
    _turn(unit, found, DESTROYED)
    why, order_id = ordering.told(order), str(order.data["order"])
    audit.append(unit, CheckpointDestroyed(version=found.id, model=found.model, reason=why, order=order_id))
    keys.retire(unit, resource=found.model, version=found.id)
    unit.after_commit(lambda: forget(unit.part(ObjectStore), found.prefix, kept_prefix(found.id)))


def _undo(
    unit: Unit,
    order: audit.Entry,
    found: Version | None,
    *,
    by: str = "system",
    code: str = "",
    reason: str = "",
    hold: str = "",
    session: str = "",
) -> None:
    if found is not None and found.state == DOOMED:
        _turn(unit, found, COMMITTED)
    said = order.data
    audit.append(
        unit,
        DestructionUndone(
            order=said["order"],
            version=said["version"],
            model=said["model"],
            by=by,
            code=code,
            reason=reason,
            hold=hold,
            session=session,
        ),
    )


def _turn(unit: Unit, found: Version, state: str) -> None:
    """Give a version's row another state, unless somebody has given it one meanwhile."""
    turned = msgspec.structs.replace(found, state=state)
    if not store.turn_version(unit.conn, turned, seal(unit, turned), seal(unit, found)):
        raise Conflict(
            "weights.turned", "Somebody else has just changed the state of this version.", "Look at it again."
        )


def _told(found: Version, order: DestructionOrdered) -> Destruction:
    return Destruction(
        order=order.order,
        version=found.id,
        model=found.model,
        person=order.person,
        approvers=order.approvers,
        final=order.final,
    )
