"""Who a caller is to the registry, and what class a model has. Guards against a model that nobody classified."""

from __future__ import annotations

from weighthouse.core.caller import Caller
from weighthouse.core.errors import NotFound
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def resource_of(unit: Unit, model: str) -> policy.Resource:
    """The model as the signed lab configuration has it; one that is not there does not exist."""
    resource = policy.current(unit).lab.resources.get(model)
    if resource is None or resource.kind != "model":
        raise NotFound(
            "weights.no_model",
            "There is no such model.",
            "Add it to the lab configuration, with a sensitivity class, and publish that.",
        )
    return resource


def class_of(unit: Unit, model: str) -> policy.SensitivityClass:
    """The sensitivity class of a model."""
    return policy.current(unit).lab.classes[resource_of(unit, model).cls]


def person_of(caller: Caller) -> str:
    """The person who answers for what the caller does: a run acts for the one who submitted it."""
    return caller.attributes.get("person", caller.principal)


def run_of(caller: Caller) -> str:
    """The run a workload is, or an empty text."""
    return caller.attributes.get("run", "") if caller.kind == "workload" else ""
