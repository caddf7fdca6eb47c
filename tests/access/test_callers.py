"""The product of action, kind of caller and condition: what is bound to one kind of caller leaves no other one free."""

from __future__ import annotations

from collections import defaultdict

from tests.access import callers
from weighthouse.policy import api as policy

# No lab that can be read reaches them: a resource always has a class, and a grant whose resource has moved to another
# environment is refused before it is put to the rules. They stand behind those; test_verdict asks them directly.
BEHIND = {"unclassified", "other-environment"}
CONTENT = {"egress.connect", "weights.load", "weights.save"}


def test_every_action_was_asked_and_every_condition_has_decided() -> None:
    asked, decided, codes = set(), set(), defaultdict(set)
    for model, caller, action, decision in callers.answers():
        asked.add(action)
        decided |= {reason.rule for reason in decision.reasons}
        codes[model, caller].add((action, decision.reasons[0].code))
    assert asked == {*policy.ACTIONS, *policy.IMPLIED}
    assert callers.forbids() - decided == BEHIND, "a condition that this table does not try"
    for model in callers.MODELS:
        for who in ("person", "person, no key", "person, young key", "system"):
            free = {action for action, code in codes[model, who] if code == "access.allowed"} & CONTENT
            allowed = {"weights.load", "weights.save"} if model == "open" and who != "system" else set()
            assert free == allowed, f"{who} on model/{model}"
