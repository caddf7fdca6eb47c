"""Cedar decides as the rules' words say: compared with a plain oracle on random questions, and closed on any error."""

from __future__ import annotations

import os
import random

import msgspec
import pytest

from tests.policy.oracle import forbidden, verdict
from weighthouse.access.model import STILL_OPEN
from weighthouse.core.errors import Unavailable
from weighthouse.policy import api as policy
from weighthouse.policy.rules.verdict import Engine, engine

ROUNDS = int(os.environ.get("WEIGHTHOUSE_CASES", "10000"))
# The same test is a long one when `make soak` asks for more.
SOAK = pytest.mark.soak if ROUNDS > 10_000 else pytest.mark.filterwarnings("error")
TEAMS = ("training", "security", "audit")
EVERY = (*policy.ACTIONS, *policy.IMPLIED)
BASE = policy.PolicyQuestion(
    principal=policy.PrincipalFacts(
        kind="person", id="ada", person="ada", teams=frozenset({"training"}), active=True, bound=False,
        assurance_level=2, assurance_age=0, key=True,
    ),
    action="run.submit",
    resource=policy.ResourceFacts(
        id="model/tern", kind="model", environment="frontier", cls="frontier", assurance=2, fresh=1000, sandbox="any"
    ),
    standing=frozenset(),
    grant=policy.GrantFacts(
        id="grt_1", person="ada", resource="model/tern", actions=frozenset({"run.submit"}), not_before=0, end=10,
        environment="frontier", operation_matches=True,
    ),
    held=False,
    now=5,
)  # fmt: skip


def question(chance: random.Random) -> policy.PolicyQuestion:
    """A random question in which each guard fails seldom, so that a good half of the rules decide alone."""

    def mostly(good: object, *bad: object) -> object:
        return good if chance.random() < 0.85 else chance.choice(bad)

    workload, kept = chance.random() < 0.4, chance.random() < 0.9
    action = chance.choice(EVERY if chance.random() < 0.5 else ("weights.load", "policy.publish"))
    grant = policy.GrantFacts(
        id="grt_1",
        person=str(mostly("ada", "eve")),
        resource=str(mostly("model/tern", "model/wren")),
        actions=frozenset((*chance.sample(policy.ACTIONS, 3), policy.IMPLIED.get(action, action) if kept else "")),
        not_before=chance.choice((0, 0, 0, 0, 0, 0, 0, 5, 6)),
        end=chance.choice((5, 6, 10)),
        environment=str(mostly("frontier", "research")),
        operation_matches=bool(mostly(True, False)),
    )
    return policy.PolicyQuestion(
        principal=policy.PrincipalFacts(
            kind="workload" if workload else "person",
            id="run:1" if workload else "ada",
            person="ada",
            teams=frozenset(chance.sample(TEAMS, chance.randint(0, 2))),
            active=bool(mostly(True, False)),
            bound=bool(mostly(True, False)),
            assurance_level=int(mostly(2, 0, 1)),  # type: ignore[call-overload]
            assurance_age=int(mostly(chance.choice((0, 1000)), 1001, 900_000, 900_001)),  # type: ignore[call-overload]
            sandbox=str(mostly("gvisor", "any", "")),
            environment=str(mostly("frontier", "research", "")),
            image=str(mostly("sha256:good", "sha256:other", "")),
            key=bool(mostly(True, False)),
        ),
        action=action,
        resource=msgspec.structs.replace(
            BASE.resource,
            environment=chance.choice(("frontier", "frontier", "shared")),
            cls=str(mostly("frontier", "")),
            assurance=chance.choice((1, 2)),
            fresh=chance.choice((1000, 10**6)),
            sandbox=chance.choice(("any", "gvisor")),
            images=frozenset(chance.choice(((), ("sha256:good",)))),
            outside_runs=frozenset(chance.choice(((), ("weights.load", "weights.save"), ("weights.save",)))),
            signed=chance.random() < 0.7,
        ),
        standing=frozenset(chance.sample(TEAMS, chance.choice((0, 0, 1)))),
        grant=grant if chance.random() < 0.9 else None,
        held=bool(mostly(False, True)),
        now=5,
    )


@pytest.mark.timeout(max(300, ROUNDS // 100))
@SOAK
def test_cedar_agrees_with_the_oracle_on_random_questions() -> None:
    chance = random.Random(20261123)
    yes = 0
    alone: set[str] = set()
    for _ in range(ROUNDS):
        asked = question(chance)
        found = policy.decide(asked)
        assert found.errors == ()
        assert found.allowed is verdict(asked), asked
        against = forbidden(asked)
        assert not against or set(found.policies) == against, asked
        yes += found.allowed
        if len(against) == 1:
            alone |= against
    assert 0.05 < yes / ROUNDS < 0.6, "the sample must hold both answers"
    assert len(alone) == 15, f"each forbid must once have decided alone: {sorted(alone)}"


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("", {"held": True}),
        ("", {"now": 10}),
        ("", {"now": -1}),
        ("", {"grant": None}),
        ("principal", {"active": False}),
        ("principal", {"key": False}),
        ("principal", {"assurance_level": 1}),
        ("principal", {"assurance_age": 1001}),
        ("resource", {"cls": ""}),
        ("resource", {"environment": "research"}),
        ("grant", {"operation_matches": False}),
        ("grant", {"actions": frozenset({"weights.save"})}),
        ("grant", {"person": "eve"}),
        ("grant", {"resource": "model/wren"}),
    ],
)
def test_each_fact_alone_turns_the_yes_into_a_no(where: str, change: dict[str, object]) -> None:
    assert policy.decide(BASE).allowed
    if where:
        change = {where: msgspec.structs.replace(getattr(BASE, where), **change)}
    assert not policy.decide(msgspec.structs.replace(BASE, **change)).allowed


@pytest.mark.parametrize(
    "broken",
    [
        msgspec.structs.replace(BASE, action="weights.steal"),
        msgspec.structs.replace(BASE, held="no"),
        msgspec.structs.replace(BASE, now="5"),
        msgspec.structs.replace(BASE, standing=frozenset({1})),  # type: ignore[arg-type]
        msgspec.structs.replace(BASE, principal=msgspec.structs.replace(BASE.principal, active=1)),
        msgspec.structs.replace(BASE, principal=msgspec.structs.replace(BASE.principal, assurance_age=2**70)),
        msgspec.structs.replace(BASE, resource=None),
    ],
)
def test_decision_case_24_a_question_that_does_not_fit_is_a_no_with_its_error(broken: policy.PolicyQuestion) -> None:
    found = policy.decide(broken)
    assert not found.allowed and found.errors


def test_decision_case_24_a_forbid_that_errors_closes_the_door() -> None:
    """Cedar skips a rule that errors; the permit alone would open."""
    schema = (
        "entity Person = {active: Bool, teams: Set<String>}; entity Workload = {};\n"
        "entity Resource = {kind: String, environment: String, class?: String, assurance: Long, fresh: Long, sandbox: String, any_image: Bool, images: Set<String>, outside_runs: Set<String>, signed: Bool};\n"
        "type Grant = {id: String, person: Person, resource: Resource, actions: Set<String>, not_before: Long, end: Long,"
        " environment: String, operation_matches: Bool};\n"
        "type Facts = {action: String, now: Long, standing: Set<String>, grant?: Grant, held: Bool, level: Long, age: Long, key: Bool};\n"
        'action "run.submit" appliesTo {principal: [Person], resource: [Resource], context: Facts};'
    )
    rules = (
        '@id("all") permit (principal, action, resource);\n'
        '@id("overflow") forbid (principal, action, resource) when { context.now * 9223372036854775807 > 3 };'
    )
    found = Engine(rules, schema).decide(BASE)
    assert found.errors and not found.allowed


def test_rules_that_do_not_fit_their_schema_stop_the_start() -> None:
    with pytest.raises(Unavailable) as error:
        Engine(
            "permit (principal, action, resource) when { context.misspelt };",
            "entity A; action b appliesTo {principal: [A], resource: [A], context: {}};",
        )
    assert error.value.code == "policy.rules_invalid"


def test_what_asks_for_a_key_is_the_same_in_the_rules_and_where_the_key_is_looked_at() -> None:
    bare = msgspec.structs.replace(BASE.principal, key=False)
    asked = {
        action
        for action in EVERY
        if "key" in policy.decide(msgspec.structs.replace(BASE, action=action, principal=bare)).policies
    }
    assert asked == policy.KEYED


def test_the_shipped_rules_know_every_action_and_no_other() -> None:
    open_ = msgspec.structs.replace(BASE.resource, outside_runs=frozenset({"weights.load", "weights.save"}))
    for action in sorted({*policy.ACTIONS, *policy.IMPLIED} - {"egress.connect"}):
        found = engine().decide(
            msgspec.structs.replace(
                BASE,
                action=action,
                resource=open_,
                standing=frozenset({"training"}),
                principal=msgspec.structs.replace(BASE.principal, assurance_level=2),
            )
        )
        assert found.allowed, action
    assert set(policy.ACTIONS) >= STILL_OPEN and not policy.RELEASING & STILL_OPEN
