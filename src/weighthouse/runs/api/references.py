"""Asking about everything that an order names. Guards what a run reads from whoever may only name it.

Attack: a run on an internal model names a version of a frontier model as its parent, and reads what lies there. So
each name is asked about when an order is submitted, again when it starts and while it runs: as the run itself would
ask where the run follows the name (its environment, sandbox, image and grant), as its owner where the server does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from weighthouse.access import api as access
from weighthouse.core import canonical
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.runs.events import ReferenceRefused
from weighthouse.runs.model import Ticket
from weighthouse.runs.rules.references import Reference, references
from weighthouse.runs.rules.states import enough
from weighthouse.weights import api as weights

SHARED = "shared"
_CODES = {
    "dataset": "runs.dataset_refused",
    "environment": "runs.environment_refused",
    "egress_profile": "runs.egress_profile_refused",
}
Asked = Callable[[Unit, Ticket, str], access.Decision | access.Stop | str]


class Refused(msgspec.Struct, frozen=True):
    """The first thing named that may not be followed."""

    reference: Reference
    code: str
    message: str
    remedy: str
    hold: str = ""


def attributes_of(unit: Unit, ticket: Ticket, tier: str) -> dict[str, str]:
    """Return what the control plane itself knows of a run: what access judges a workload by."""
    order = ticket.order
    return {
        "person": ticket.owner,
        "account": ticket.account,
        "model": order.model,
        "sandbox": tier,
        "environment": policy.current(unit).lab.resources[order.model].environment,
        "image_digest": order.environment,
        **({"grant": ticket.grant} if ticket.grant else {}),
    }


def check(unit: Unit, ticket: Ticket, tier: str) -> None:
    """Refuse an order that names what may not be followed, with one line: it names the field, the id and the code."""
    found = first_refused(unit, ticket, tier)
    if found is None:
        return
    line = ReferenceRefused(
        model=ticket.order.model,
        owner=ticket.owner,
        field=found.reference.field,
        reference=found.reference.id,
        code=found.code,
        hold=found.hold,
    )
    kind = NotFound if found.code in ("weights.no_version", "runs.no_dataset") else Denied
    raise kind(found.code, found.message, found.remedy, record=[line])


def first_refused(unit: Unit, ticket: Ticket, tier: str) -> Refused | None:
    """Return the first thing that this order names and that may not be followed now, by this run; None if all may."""
    for reference in references(ticket.order):
        try:
            found = _ASK[reference.field](unit, ticket, tier)
        except WeighthouseError as error:
            return Refused(reference, error.code, error.message, error.remedy)
        if isinstance(found, str):
            text = f"The order names {reference.field} '{reference.id}', {found}."
            return Refused(reference, _CODES[reference.field], text, "Name another one, or ask for access.")
        if isinstance(found, access.Stop):
            text = f"A hold stands on '{reference.id}'."
            return Refused(reference, "access.held", text, "Ask who placed the hold.", found.hold)
        if not found.allowed:
            first = found.reasons[0]
            text = f"The order names {reference.field} '{reference.id}', for which {reference.action} is refused: "
            return Refused(reference, first.code, text + first.text, found.remedy, found.hold)
    return None


def _person(unit: Unit, ticket: Ticket) -> Caller:
    """The owner as they were when they submitted: that factor and key were good was asked then."""
    return Caller(
        principal=PrincipalId(ticket.owner),
        kind="person",
        assurance=Assurance(2, unit.now, "assumed"),
        account=ticket.account,
    )


def _run(unit: Unit, ticket: Ticket, tier: str) -> Caller:
    """The run as it will ask for keys. Its own identity may not exist yet: its owner's state is what is looked at."""
    return Caller(
        principal=PrincipalId(ticket.owner),
        kind="workload",
        assurance=Assurance(1, unit.now, "workload"),
        binding="workload",
        attributes={**attributes_of(unit, ticket, tier), **_bound(unit, ticket)},
    )


def _bound(unit: Unit, ticket: Ticket) -> dict[str, str]:
    """The grant that the run is bound to on its parent's model, if it has used one."""
    parent = ticket.order.parent
    if ticket.grant or parent is None:
        return {}
    grant = access.bound(unit, identity.workload_of(ticket.run)).get(weights.model_of(unit, parent))
    return {access.WORKLOAD_GRANT: grant} if grant else {}


def _model(unit: Unit, ticket: Ticket, _: str) -> access.Decision:
    order = ticket.order
    weights.check_model(unit, order.model)  # nothing begins, or goes on, on a model that is about to end
    digest = canonical.digest(msgspec.to_builtins(order))
    facts = {"order": digest, "risk": order.risk, "egress_profile": order.egress_profile}
    return access.explain_without_key(unit, _person(unit, ticket), "run.submit", order.model, **facts)


def _parent(unit: Unit, ticket: Ticket, tier: str) -> access.Decision:
    assert ticket.order.parent is not None
    model = weights.model_of(unit, ticket.order.parent)
    if not access.explain(unit, _person(unit, ticket), "catalogue.read", model).allowed:
        raise weights.no_version()
    weights.check_model(unit, model)
    return access.explain(unit, _run(unit, ticket, tier), "weights.load", model, version=ticket.order.parent)


def other_datasets(unit: Unit, dataset: str) -> list[str]:
    """Return every listed data set but this one: none of them may be seen by whoever is given this one."""
    every = policy.current(unit).lab.resources.values()
    return [one.id for one in every if one.kind == "dataset" and one.id != dataset]


def _dataset(unit: Unit, ticket: Ticket, tier: str) -> access.Decision | access.Stop | str:
    order = ticket.order
    lab = policy.current(unit).lab
    listed = lab.resources.get(order.dataset)
    if listed is None or listed.kind != "dataset":
        return "which is not a listed data set"
    if listed.environment not in (SHARED, lab.resources[order.model].environment):
        return "which belongs to another environment than the model"
    if any(one.startswith(f"{order.dataset}/") for one in other_datasets(unit, order.dataset)):
        return "in which another data set lies that has a class, an environment and holds of its own"
    cls = lab.classes[listed.cls]  # its conditions hold here as the model's do: the run is given both
    if cls.sandbox != "any" and not enough(tier, cls.sandbox):
        return f"whose class asks for the {cls.sandbox} sandbox"
    if cls.images and order.environment not in cls.images:
        return "whose class does not list the environment of the run among its images"
    known = access.explain(unit, _person(unit, ticket), "catalogue.read", order.dataset)
    return access.held_by(unit, "run.submit", order.dataset, ticket.owner) or known


def _environment(unit: Unit, ticket: Ticket, tier: str) -> access.Decision | str:
    lab = policy.current(unit).lab
    images = lab.classes[lab.resources[ticket.order.model].cls].images
    if images and ticket.order.environment not in images:
        return "which is not among the environments that the class of the model lists"
    return _model(unit, ticket, tier)


def _profile(unit: Unit, ticket: Ticket, tier: str) -> access.Decision | str:
    if ticket.order.egress_profile not in policy.current(unit).lab.egress_profiles:
        return "which is not a listed profile"
    return _model(unit, ticket, tier)


_ASK: Mapping[str, Asked] = {
    "model": _model,
    "parent": _parent,
    "dataset": _dataset,
    "environment": _environment,
    "egress_profile": _profile,
}
