"""What a hold is placed on, and that it stays on it. Guards a hold from meaning less than it says.

A hold on what is not there, or on what its actions are never asked about, stops nothing and is refused. Attack:
rename a held model in the policy text, put it in another class or environment, or give a held person's account to
somebody new; the hold then stands on an empty name. So a text that takes something from a hold is not put in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weighthouse.access.api.about import CLASS, ENVIRONMENT, about, is_version, model_of
from weighthouse.access.api.holds_on import every_hold, first_of, holds_on
from weighthouse.access.api.requests import refuse
from weighthouse.access.model import IRREVERSIBLE, Hold, Request, named_version
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Invalid
from weighthouse.core.ids import is_id
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

# What is asked about one version, and about a data set or what was trained on it: a hold that names none of them
# there would stop nothing.
OF_VERSION = frozenset({"weights.load", "weights.describe", "weights.export", *IRREVERSIBLE})
OF_DATASET = OF_VERSION | {"run.submit", "catalogue.read"}


def check_subject(unit: Unit, subject: str, actions: Sequence[str]) -> None:
    """Raise Invalid `access.bad_hold` unless a hold of these actions on `subject` can stop something."""
    lab = policy.current(unit).lab
    asked: frozenset[str] = frozenset(policy.ACTIONS)
    if is_id(subject, "ver"):
        known, asked = is_version(unit, subject), OF_VERSION
    elif subject.startswith(CLASS):
        known = subject.removeprefix(CLASS) in lab.classes
    elif subject.startswith(ENVIRONMENT):
        known = subject.removeprefix(ENVIRONMENT) in {policy.SHARED, *lab.environments}
    else:
        known = subject in lab.resources or subject in lab.people
        if known and subject in lab.resources and lab.resources[subject].kind == "dataset":
            asked = OF_DATASET
    if not known:
        raise Invalid(
            "access.bad_hold",
            "A hold is on a resource, a version (`ver_…`), a class (`class:…`), an environment (`environment:…`), a "
            "person or `lab`.",
            "Name one as the lab configuration does; a version as its list shows it.",
        )
    if actions and not asked & set(actions):
        raise Invalid(
            "access.bad_hold",
            f"Nothing asks for {', '.join(sorted(actions))} on '{subject}', so this hold would stop nothing.",
            f"There one holds {', '.join(sorted(asked & set(policy.ACTIONS)))}, or everything.",
        )


def check_actions(actions: Sequence[str]) -> None:
    """Raise Invalid `access.bad_hold` for what is no action."""
    unknown = [action for action in actions if action not in policy.ACTIONS]
    if unknown:
        raise Invalid("access.bad_hold", f"'{unknown[0]}' is not an action.", "Name actions of the lab, or none.")


def things_of(unit: Unit, lab: policy.Lab, subject: str) -> list[policy.Resource]:
    """Return the things of a lab that a hold on `subject` is on: itself, its version's model, all of its class."""
    if is_id(subject, "ver"):
        subject = model_of(unit, subject)
    if subject in lab.resources:
        return [lab.resources[subject]]
    return [
        one
        for one in lab.resources.values()
        if one.id != policy.LAB_RESOURCE and subject in (CLASS + one.cls, ENVIRONMENT + one.environment)
    ]


def holds_about(unit: Unit, resource: str) -> list[Hold]:
    """Return the holds on a thing, its class, its environment and the lab, the newest first: what its page shows."""
    return sorted(holds_on(unit, resource, resource, about(unit, resource)), key=lambda one: (-one.at, one.id))


def holds_against(unit: Unit, request: Request) -> list[Hold]:
    """Return the holds that stop something of what a request asks for, the newest first."""
    found = about(unit, request.resource, named_version(request.operation))
    standing = holds_on(unit, request.resource, request.person, found)
    against = [
        one
        for one in standing
        if any(one.stops(action, request.resource, request.person, found.all) for action in request.actions)
    ]
    return sorted(against, key=lambda one: (-one.at, one.id))


def check_kept(unit: Unit, caller: Caller, before: policy.Bundle, after: policy.Lab) -> None:
    """Raise Denied `access.hold_would_slip` if a text takes from a hold what it stands on."""
    for hold in every_hold(unit):
        for lost in _lost(hold.subject, before.lab, after):
            raise refuse(
                before, caller, "policy.publish", policy.LAB_RESOURCE, "access.hold_would_slip",
                f"The hold {hold.id} on '{hold.subject}' stands, and this text takes {lost} away from it.",
                "Leave it as it is until the hold is lifted; a person may be made inactive instead.",
                hold=first_of(unit, [hold]),
            )  # fmt: skip


def _lost(subject: str, before: policy.Lab, after: policy.Lab) -> Iterator[str]:
    """What a hold on `subject` would stand on no more: a thing or a person that is gone or is somebody else, or what
    is moved out of a class or an environment."""
    if subject in before.resources:
        if subject not in after.resources or after.resources[subject].kind != before.resources[subject].kind:
            yield f"'{subject}'"
    elif subject in before.people:
        yield from _moved_accounts(subject, before, after)
    for one in before.resources.values():
        for belongs in (CLASS + one.cls, ENVIRONMENT + one.environment):
            now = after.resources.get(one.id)
            if belongs == subject and (
                now is None or subject not in (CLASS + now.cls, ENVIRONMENT + now.environment)
            ):
                yield f"'{one.id}'"


def _moved_accounts(person: str, before: policy.Lab, after: policy.Lab) -> Iterator[str]:
    if person not in after.people:
        yield f"'{person}'"
    for account in before.people[person].accounts:
        owner = after.person_of_account(*account)
        if owner is not None and owner.id != person:
            yield f"an account of '{person}'"
