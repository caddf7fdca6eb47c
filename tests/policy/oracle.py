"""The verdict written a second time, in plain Python, from the words of the rules: the oracle that Cedar must agree with."""

from __future__ import annotations

from weighthouse.policy import api as policy

STEP_UP_FRESH = 15 * 60 * 1000
INSIDE_RUN = {"weights.load", "weights.save", "egress.connect"}
WITHIN_RUN = INSIDE_RUN | {"weights.describe"}
KEYED = {"run.submit", "weights.load", "weights.save", "weights.describe"}
IMPLIED = {"weights.describe": "weights.load"}


def verdict(question: policy.PolicyQuestion) -> bool:
    """Whether the answer is yes."""
    who, thing, grant = question.principal, question.resource, question.grant
    covered = (
        grant is not None
        and grant.person == who.person
        and grant.resource == thing.id
        and IMPLIED.get(question.action, question.action) in grant.actions
    )
    if who.kind == "person":
        permitted = bool(who.teams & question.standing) or covered
    else:
        permitted = covered and question.action in WITHIN_RUN
    return permitted and not forbidden(question)


def forbidden(question: policy.PolicyQuestion) -> set[str]:
    """The rules that forbid."""
    who, thing, grant, now = question.principal, question.resource, question.grant, question.now
    found = set()
    if question.held:
        found.add("held")
    if not who.active:
        found.add("inactive")
    if not thing.cls:
        found.add("unclassified")
    if grant is not None:
        if not grant.not_before <= now < grant.end:
            found.add("not-now")
        if thing.environment not in ("shared", grant.environment):
            found.add("other-environment")
        if not grant.operation_matches:
            found.add("operation")
    signed = thing.signed and question.action in KEYED
    if not who.key and (signed or question.action in ("weights.export", "weights.destroy", "weights.destroy_model")):
        found.add("key")
    if who.kind == "person":
        level, age = who.assurance_level, who.assurance_age
        if level < max(1, thing.assurance) or (thing.assurance > 1 and age > thing.fresh):
            found.add("assurance")
        if question.action == "policy.publish" and (level < 2 or age > STEP_UP_FRESH):
            found.add("step-up")
        strict = thing.sandbox != "any" or thing.images or question.action not in thing.outside_runs
        if question.action in INSIDE_RUN and strict:
            found.add("outside-run")
    else:
        if thing.environment not in ("shared", who.environment):
            found.add("workload-environment")
        if question.action not in WITHIN_RUN:
            found.add("workload-reach")
        if not who.bound:
            found.add("workload-unbound")
        if thing.sandbox not in ("any", who.sandbox):
            found.add("sandbox")
        if thing.images and who.image not in thing.images:
            found.add("image")
    return found
