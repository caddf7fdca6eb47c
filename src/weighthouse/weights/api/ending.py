"""Destroying the key of a whole model: all its versions at once. Guards a model from being ended by one person, under
a hold on anything in it, or while somebody works on it.

An order takes a grant that pins the newest version, so that what goes is what its approvers saw; no hold on the
lab, the model or what any of its versions was made from; no lease and no save under way. Those are not ended for it:
whoever orders an end sees first what still uses the model, and has it stopped. From the order on nothing of the model
is opened, saved or run, and it can be undone; at the end a timer asks everything again. The key goes after the line
that says so is durable, and what a kill left undone `keys` does.
"""

from __future__ import annotations

import contextlib

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.errors import Conflict, Denied, NotFound, WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.keys import api as keys
from weighthouse.weights import store
from weighthouse.weights.api import ends, ordering, sealing
from weighthouse.weights.api.classes import resource_of
from weighthouse.weights.events import CheckpointSealed, ModelDestructionOrdered, ModelDestructionUndone
from weighthouse.weights.model import DESTROYED, DOOMED, SAVE_LIFE, ModelDestruction, ModelOrder

ACTION = "weights.destroy_model"
_SEALED = audit.Lines(CheckpointSealed.KIND, by="model")


def destroy_model(unit: Unit, caller: Caller, model: str, reason: str) -> ModelDestruction:
    """Order the destruction of a model's key: final after `weights.destroy_grace_s`, and unused meanwhile.

    Needs a grant for `weights.destroy_model` that names the newest version, used by the person who asked for it.
    Raises Denied (no such grant, any hold), NotFound, Conflict `weights.model_destroyed`,
    `weights.model_being_destroyed`, `weights.model_in_use`, `weights.order_used`.
    """
    ordering.check_person(caller)
    resource_of(unit, model)
    newest = _newest(unit, model)
    decision = access.require(unit, caller, ACTION, model, newest=newest)
    _check_holds(unit, caller, model, newest)
    visible.check(reason, "The reason")
    if not newest:
        raise NotFound("weights.no_version", "This model has no version yet.", "There is nothing to destroy.")
    ends.check_model(unit, model)
    _check_unused(unit, model)
    grant = ordering.approval(unit, ends.MODELS, model, decision)
    order = ModelOrder(
        order=new_id("dst"),
        model=model,
        newest=newest,
        person=caller.principal,
        approvers=tuple(vote.voter for vote in grant.votes),
        final=unit.now + ordering.grace(unit),
        grant=grant.id,
    )
    store.drop_order(unit.conn, model)  # the row of one that was undone, if somebody has put it back
    if not store.add_order(unit.conn, order, sealing.seal_order(unit, order)):
        raise _turned()
    said = {name: getattr(order, name) for name in ModelOrder.__struct_fields__ if name != "state"}
    audit.append(unit, ModelDestructionOrdered(**said, session=caller.session or "", reason=reason[:500]))
    return order.shown()


def undestroy_model(unit: Unit, caller: Caller, model: str, reason: str) -> None:
    """Undo an order before it is final: by who gave it, who approved it, or whoever may destroy this model.

    It opens again what several people closed, so it takes a second factor that was given for exactly this. Raises
    Denied, NotFound, Conflict `weights.model_destroyed`, `weights.not_being_destroyed`, Unauthenticated
    `identity.act_unconfirmed`.
    """
    order = ends.MODELS.open_on(unit, model)
    if not ordering.is_one_of(caller, order):
        resource_of(unit, model)  # its own people undo it though a policy text has dropped the model since
        access.require(unit, caller, ACTION, model, newest=_newest(unit, model))
    visible.check(reason, "The reason")
    if ends.is_model_over(unit, model):
        raise ends.model_gone(model)
    if order is None or _just_undone(unit, order):
        raise ordering.not_open("model")
    identity.require_act(unit, caller, identity.Act(type="model.undestroy", subject=model))
    _undo(unit, order, by=caller.principal, reason=reason[:500], session=str(caller.session or ""))


def model_destruction(unit: Unit, model: str) -> ModelDestruction | None:
    """The order to destroy a model's key that is open, or was carried out, for who may know of the model; or None."""
    line = ends.MODELS.newest(unit, model)
    if line is None or ends.MODELS.is_undone(unit, line.data["order"]):
        return None
    said = {name: line.data[name] for name in ("order", "model", "newest", "person", "final")}
    state = DESTROYED if keys.is_destroyed(unit, model) else DOOMED
    return ModelDestruction(**said, approvers=tuple(line.data["approvers"]), state=state)


def stop_of(unit: Unit, model: str, person: str) -> access.Stop | None:
    """What stands against the end of a model by `person`: a hold on it, or on any of its versions and on what that
    was made from; None if nothing does."""
    for version in ("", *versions_of(unit, model)):
        stop = access.held_by(unit, ACTION, model, person, version)
        if stop is not None:
            return stop
    return None


def versions_of(unit: Unit, model: str) -> list[str]:
    """Every version of a model: by the log, and those of rows that it does not tell of yet."""
    told = [entry.subject for entry in _SEALED.of(unit, model)]
    return list(dict.fromkeys([*told, *store.version_ids(unit.conn, model)]))


def finish_models(system: System) -> int:
    """Carry out every order on a model whose time has come, or undo it if something stands against it now; return how
    many models went. May be killed at any step and run again."""
    with read(system) as unit:
        due = [order for order in ends.MODELS.open(unit) if order.data["final"] <= unit.sure]
    gone = 0
    for order in due:
        with contextlib.suppress(WeighthouseError):  # the database may be away; the next turn asks again
            gone += _finish(system, str(order.data["model"]))
    return gone


def _finish(system: System, model: str) -> bool:
    with begin(system) as unit:
        store.lock_order(unit.conn, model)  # first, so that nothing is waited for between the questions and the end
        order = ends.MODELS.open_on(unit, model)
        if order is None or order.data["final"] > unit.sure or _just_undone(unit, order):
            return False
        try:
            row, newest = sealing.open_order(unit, model), _newest(unit, model)
        except Denied as refusal:  # its line is written here once, and the order is over with it
            for line in refusal.record:
                audit.append(unit, line)
            _undo(unit, order, code=refusal.code)
            return False
        if row is not None and row.state == DESTROYED:
            return False  # carried out a moment ago; the log of PostgreSQL tells of it soon
        stop = stop_of(unit, model, order.data["person"])
        if stop is not None:
            _undo(unit, order, code="access.held", hold=stop.hold)
            return False
        code = ordering.against(unit, order, as_sealed=row is not None and _is_of(row, order))
        code = code or ("weights.newer_version" if newest != order.data["newest"] else "")
        if code or row is None:
            _undo(unit, order, code=code)
            return False
        unit.ask_last(lambda: ordering.check_still(unit, order, stop_of(unit, model, order.data["person"])))
        _end(unit, row)
        return True


def _end(unit: Unit, row: ModelOrder) -> None:
    """One line; then, once it is durable, the key. Its wrapped keys go with the line, the objects by the sweep."""
    over = msgspec.structs.replace(row, state=DESTROYED)
    if not store.turn_order(unit.conn, over, sealing.seal_order(unit, over), sealing.seal_order(unit, row)):
        raise _turned()
    store.drop_keys_under(unit.conn, row.model)
    keys.destroy(unit, SYSTEM, row.model, order=row.order)


def _undo(
    unit: Unit,
    order: audit.Entry,
    *,
    by: str = "system",
    code: str = "",
    reason: str = "",
    hold: str = "",
    session: str = "",
) -> None:
    said = order.data
    _drop(unit, str(said["model"]))
    line = ModelDestructionUndone(
        order=said["order"], model=said["model"], by=by, code=code, reason=reason, hold=hold, session=session
    )
    audit.append(unit, line)


def _drop(unit: Unit, model: str) -> None:
    """Take the row of an order away that was not carried out, whatever somebody made of it; raises `weights.turned`
    where its end came first. That turns the row, so who waited for it here sees what became of it."""
    try:
        row = sealing.open_order(unit, model) if store.lock_order(unit.conn, model) else None
    except Denied:  # it says nothing of what was ordered
        row = None
    if (row is not None and row.state == DESTROYED) or keys.is_destroyed(unit, model, soon=True):
        raise _turned()
    store.drop_order(unit.conn, model)


def _just_undone(unit: Unit, order: audit.Entry) -> bool:
    """Whether the line that undoes an order waits for the sequencer of PostgreSQL: it is not written twice."""
    return any(one["order"] == order.data["order"] for one in audit.on_its_way(unit, ModelDestructionUndone.KIND))


def _is_of(row: ModelOrder, order: audit.Entry) -> bool:
    """Whether the row is the one of this order, field by field as its line has them."""
    said = {name: order.data[name] for name in ModelOrder.__struct_fields__ if name != "state"}
    return row == ModelOrder(**{**said, "approvers": tuple(said["approvers"])}, state=DOOMED)


def _newest(unit: Unit, model: str) -> str:
    """The newest version; refuses a database that was rolled back or counted anew. Empty where there is none."""
    found = store.newest(unit.conn, model)
    sealing.check_newest(unit, model, found)
    return found[0] if found else ""


def _check_holds(unit: Unit, caller: Caller, model: str, newest: str) -> None:
    """Raise Denied `access.held` with its one line for a hold on any version, or on what that was made from."""
    for version in versions_of(unit, model):
        if access.held(unit, ACTION, model, caller.principal, version):
            access.require(unit, caller, ACTION, model, newest=newest, version=version)


def _check_unused(unit: Unit, model: str) -> None:
    """Raise Conflict `weights.model_in_use` while somebody reads or saves it. A save counts while its run lives."""
    leases, saves = store.leased_of(unit.conn, model, unit.now), 0
    for id_ in store.open_saves_of(unit.conn, model=model):
        save, _ = sealing.open_save(unit, id_)
        young = save.model == model and unit.now - save.begun <= SAVE_LIFE
        saves += young and identity.is_active(unit, save.principal)
    if leases or saves:
        raise Conflict(
            "weights.model_in_use",
            f"'{model}' is in use: {leases} leases of readers run, and {saves} saves are under way.",
            "Have its runs end, or stop them; leases end within minutes after that. Then order it again.",
        )


def _turned() -> Conflict:
    return Conflict("weights.turned", "Somebody else has just changed the state of this model.", "Look at it again.")
