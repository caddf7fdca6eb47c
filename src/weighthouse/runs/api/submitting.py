"""Submitting a run: checked, decided, sealed and stored in one transaction. Guards the runner from unasked orders.

The row carries a seal under a key outside the database, so that a row somebody inserted or edited is never executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import MINUTE, SECOND, Millis
from weighthouse.core.errors import Denied, Invalid, NotFound
from weighthouse.core.ids import new_id
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy
from weighthouse.runs import store
from weighthouse.runs.api import references
from weighthouse.runs.api.sealing import believed, digest_of, seal, untrue
from weighthouse.runs.events import RunSubmitted
from weighthouse.runs.model import Environment, Order, Risk, Run, Ticket
from weighthouse.runs.ports import Ground
from weighthouse.runs.rules import orders
from weighthouse.runs.rules.states import enough

DEFAULT_WALL_CLOCK: Millis = 10 * MINUTE


def environments(unit: Unit) -> list[Environment]:
    """Return the environments that a run may name on this machine."""
    return unit.part(Ground).environments()


def submit(
    unit: Unit,
    caller: Caller,
    *,
    model: str,
    environment: str,
    command: Sequence[str],
    code: Mapping[str, str],
    dataset: str,
    parent: str | None,
    risk: Risk,
    egress_profile: str,
    wall_clock: Millis = DEFAULT_WALL_CLOCK,
) -> Run:
    """Queue a run on `model` and return it.

    It ends at the latest with the access it rests on. Raises `runs.bad_order`, `runs.unknown_environment`,
    `runs.no_dataset`, `runs.unknown_profile`, `runs.sandbox_too_weak`, or access's refusal of anything it names.
    """
    order = Order(
        model=model,
        environment=environment,
        command=tuple(command),
        code=dict(code),
        dataset=dataset,
        parent=parent,
        risk=risk,
        egress_profile=egress_profile,
        wall_clock=wall_clock,
    )
    orders.check(order, unit.system.settings.integer("runs.wall_clock_s") * SECOND)
    digest = digest_of(order)
    decision = access.require(
        unit, caller, "run.submit", model, order=digest, risk=risk, egress_profile=egress_profile
    )
    tier = _fits(unit, order)
    ends = [unit.now + wall_clock, *([decision.until] if decision.until is not None else [])]
    ticket = Ticket(
        run=new_id("run"),
        owner=caller.principal,
        account=caller.account,
        session=caller.session or "",
        grant=decision.grant,
        order=order,
        submitted=unit.now,
        must_end=min(ends),
        tier=tier,
    )
    references.check(unit, ticket, unit.part(Ground).sandbox().tier)
    return _queue(unit, ticket, digest)


def _queue(unit: Unit, ticket: Ticket, digest: str) -> Run:
    """Store the order under its seal, with its entry in the log, and return the run that it has become."""
    store.add(unit.conn, ticket, digest, seal(unit, ticket))
    order = ticket.order
    fact = RunSubmitted(
        run=ticket.run,
        model=order.model,
        owner=ticket.owner,
        grant=ticket.grant,
        order_digest=digest,
        environment=order.environment,
        dataset=order.dataset,
        parent=order.parent,
        risk=order.risk,
        egress_profile=order.egress_profile,
        must_end=ticket.must_end,
        session=ticket.session,
    )
    audit.append(unit, fact)
    run = believed(unit, store.find(unit.conn, ticket.run))
    if run is None:  # a trigger has written another row than this one
        raise untrue()
    return run


def _fits(unit: Unit, order: Order) -> str:
    """Return the tier that the model's class asks for, after checking that this machine can execute the order."""
    ground = unit.part(Ground)
    lab = policy.current(unit).lab
    if ground.environment(order.environment) is None:
        raise Invalid(
            "runs.unknown_environment",
            "This server has no environment with that digest; it may have been upgraded since.",
            "List the environments and submit with a digest from there.",
        )
    listed = lab.resources.get(order.dataset)
    held = ground.dataset(order.dataset) if listed is not None and listed.kind == "dataset" else None
    if held is None:
        raise NotFound("runs.no_dataset", f"There is no data set '{order.dataset}' here.", "Name a listed data set.")
    os.close(held)  # the start opens it anew, and asks again
    if order.egress_profile not in lab.egress_profiles:
        raise NotFound(
            "runs.unknown_profile", f"There is no egress profile '{order.egress_profile}'.", "Name a listed profile."
        )
    wanted = lab.classes[lab.resources[order.model].cls].sandbox
    driver = ground.sandbox()
    if not enough(driver.tier, wanted) and driver.tier != "none":
        raise Denied(
            "runs.sandbox_too_weak",
            f"The class of '{order.model}' asks for the {wanted} sandbox; this machine has only {driver.tier}.",
            "Build runsc with `make parts`, or submit to a machine that has it.",
        )
    return wanted
