"""Cedar's verdict on one question. Guards against a rule that fails in silence: any error means no.

The rules and their schema are text that ships with this package; they are validated against each other when this
module is first used, so a misspelt attribute stops the server and not a decision. Grants arrive as facts in the
context: as policies they would cost a hundred milliseconds each (docs/why/decisions/0003-decision.md).
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from typing import Any

import cedarpy
import msgspec

from weighthouse.core.errors import Unavailable
from weighthouse.policy.model import IMPLIED, GrantFacts, PolicyQuestion, PrincipalFacts, ResourceFacts, Verdict

EVALUATION_ERROR = "policy.evaluation_error"
_SLICES = 4_096


class Engine:
    """One parsed, validated set of rules. `decide` raises nothing: whatever goes wrong is a no with its reason."""

    def __init__(self, policies: str, schema: str) -> None:
        faults = cedarpy.validate_policies(policies, schema)
        if not faults.validation_passed:
            raise Unavailable(
                "policy.rules_invalid",
                "The decision rules do not fit their schema: " + "; ".join(str(fault) for fault in faults.errors),
                "Reinstall this version of the server; its rules ship with it.",
            )
        self._policies = cedarpy.PolicySet.from_str(policies)
        self._schema = cedarpy.Schema.from_str(schema)
        # Parsing and checking a slice of entities costs as much as deciding; the same text gives the same entities.
        self._parsed = lru_cache(maxsize=_SLICES)(self._parse)

    def _parse(self, entities: str) -> cedarpy.Entities:
        return cedarpy.Entities.from_json_str(entities, self._schema)

    def decide(self, question: PolicyQuestion) -> Verdict:
        """Return the verdict and the ids of the rules that gave it, in no particular order."""
        try:
            result = cedarpy.is_authorized(
                _request(question), self._policies, self._parsed(_entities(question)), self._schema
            )
            diagnostics = result.diagnostics
            errors = tuple(str(error) for error in diagnostics.errors)
            named = diagnostics.id_annotations_by_reason
            policies = tuple(sorted(named.get(reason, reason) for reason in diagnostics.reasons))
            allowed = result.decision is cedarpy.Decision.Allow and not errors and bool(policies)
        except Exception as error:  # the engine is foreign code: whatever it throws must close the door
            return Verdict(allowed=False, policies=(), errors=(f"{type(error).__name__}: {error}",))
        return Verdict(allowed=allowed, policies=policies, errors=errors)


@cache
def engine() -> Engine:
    """The engine with the rules that ship with this package."""
    folder = resources.files("weighthouse.policy.rules") / "cedar"
    return Engine((folder / "lab.cedar").read_text("utf-8"), (folder / "lab.cedarschema").read_text("utf-8"))


def _uid(kind: str, id_: str) -> dict[str, str]:
    return {"type": kind, "id": id_}


def _reference(kind: str, id_: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": id_}}


def _request(question: PolicyQuestion) -> dict[str, Any]:
    principal = question.principal
    facts: dict[str, Any] = {
        "action": IMPLIED.get(question.action, question.action),
        "now": question.now,
        "standing": sorted(question.standing),
        "held": question.held,
        "level": principal.assurance_level,
        "age": principal.assurance_age,
        "key": principal.key,
    }
    if question.grant is not None:
        facts["grant"] = _grant(question.grant)
    return {
        "principal": _uid("Person" if principal.kind == "person" else "Workload", principal.id),
        "action": _uid("Action", question.action),
        "resource": _uid("Resource", question.resource.id),
        "context": msgspec.json.encode(facts).decode(),
    }


def _grant(grant: GrantFacts) -> dict[str, Any]:
    return {
        "id": grant.id,
        "person": _reference("Person", grant.person),
        "resource": _reference("Resource", grant.resource),
        "actions": sorted(grant.actions),
        "not_before": grant.not_before,
        "end": grant.end,
        "environment": grant.environment,
        "operation_matches": grant.operation_matches,
    }


def _entities(question: PolicyQuestion) -> str:
    principal = question.principal
    person = {
        "uid": _uid("Person", principal.person),
        "attrs": {"active": principal.active, "teams": sorted(principal.teams)},
        "parents": [],
    }
    found = [person, _resource(question.resource)]
    if principal.kind == "workload":
        found.append(_workload(principal))
    grant = question.grant
    if grant is not None and grant.person != principal.person:
        found.append({**person, "uid": _uid("Person", grant.person)})
    return msgspec.json.encode(found).decode()


def _workload(principal: PrincipalFacts) -> dict[str, Any]:
    return {
        "uid": _uid("Workload", principal.id),
        "attrs": {
            "active": principal.active,
            "bound": principal.bound,
            "person": _reference("Person", principal.person),
            "sandbox": principal.sandbox,
            "environment": principal.environment,
            "image": principal.image,
        },
        "parents": [],
    }


def _resource(resource: ResourceFacts) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "kind": resource.kind,
        "environment": resource.environment,
        "assurance": resource.assurance,
        "fresh": resource.fresh,
        "sandbox": resource.sandbox,
        "any_image": not resource.images,
        "images": sorted(resource.images),
        "outside_runs": sorted(resource.outside_runs),
        "signed": resource.signed,
    }
    if resource.cls:
        attributes["class"] = resource.cls
    return {"uid": _uid("Resource", resource.id), "attrs": attributes, "parents": []}
