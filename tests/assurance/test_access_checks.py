"""E-01 and E-02 as pure functions: two distinct eligible approvers, no standing privilege, no overlong grant."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from weighthouse.assurance.checks import approvals, standing_access
from weighthouse.assurance.checks.approvals import Demand, Directory
from weighthouse.assurance.checks.facts import Fact
from weighthouse.assurance.checks.standing_access import Standing
from weighthouse.core.clock import HOUR

STEWARDS, SECURITY = frozenset({"stewards"}), frozenset({"security"})
KNOWN = Directory(
    weights={"model/tern": Demand(2, 2)},
    seats={"tern-load": {"ben": STEWARDS, "bob": STEWARDS, "chi": SECURITY, "dan": STEWARDS | SECURITY}, "all": {}},
)
LATER = Directory(weights={}, seats={"tern-load": {"eve": STEWARDS, "kim": SECURITY}})
"""Another policy: other teams, and Tern is guarded no more."""
THEN = {"old": KNOWN, "new": LATER}


def grant(index: int = 9, **data: Any) -> Fact:
    full = {
        "grant": "grt",
        "policy_digest": "old",
        "request_id": "req",
        "request_digest": "d",
        "principal": "ada",
        "entitlement": "tern-load",
        "resource": "model/tern",
        "not_before": 0,
        "end": HOUR,
        "approvers": ["ben", "chi"],
        **data,
    }
    return Fact(index=index, at=index, kind="access.GrantStarted", subject="grt", data=full, leaf=f"sha256:{index}")


def vote(index: int, voter: str, **data: Any) -> Fact:
    full = {
        "request_id": "req",
        "request_digest": "d",
        "policy_digest": "old",
        "verdict": "approve",
        "voter": voter,
        **data,
    }
    return Fact(index=index, at=index, kind="access.VoteCast", subject="req", data=full, leaf=f"sha256:{index}")


TWO = [vote(1, "ben"), vote(2, "chi")]


@pytest.mark.parametrize(
    ("story", "facts", "result", "failing"),
    [
        ("two eligible approvers", [*TWO, grant()], "satisfied", ()),
        ("one approver", [vote(1, "ben"), grant()], "not-satisfied", (9,)),
        ("one approver twice", [vote(1, "ben"), vote(2, "ben"), grant()], "not-satisfied", (9,)),
        ("the requester is the second", [vote(1, "ben"), vote(2, "ada"), grant()], "not-satisfied", (9,)),
        (
            "an eligible requester is the second",
            [vote(1, "ben"), vote(2, "chi"), grant(principal="chi")],
            "not-satisfied",
            (9,),
        ),
        ("the second is not eligible", [vote(1, "ben"), vote(2, "eve"), grant()], "not-satisfied", (9,)),
        ("the second said no", [vote(1, "ben"), vote(2, "chi", verdict="deny"), grant()], "not-satisfied", (9,)),
        (
            "votes on another text",
            [vote(1, "ben"), vote(2, "chi", request_digest="x"), grant()],
            "not-satisfied",
            (9,),
        ),
        (
            "votes on another request",
            [vote(1, "ben"), vote(2, "chi", request_id="x"), grant()],
            "not-satisfied",
            (9,),
        ),
        ("a vote after the grant", [vote(1, "ben"), vote(12, "chi"), grant()], "not-satisfied", (9,)),
        ("the grant claims approvers, the log has no votes", [grant()], "not-satisfied", (9,)),
        ("an unknown entitlement", [*TWO, grant(entitlement="other")], "not-satisfied", (9,)),
        ("two of one team", [vote(1, "ben"), vote(2, "bob"), grant()], "not-satisfied", (9,)),
        ("who is in both teams stands for one", [vote(1, "ben"), vote(2, "dan"), grant()], "satisfied", ()),
        ("and alone for one only", [vote(1, "dan"), grant()], "not-satisfied", (9,)),
        (
            "eligible today, not that day",
            [vote(1, "eve"), vote(2, "kim"), grant()],
            "not-satisfied",
            (9,),
        ),
        (
            "votes under a policy that nobody published",
            [vote(1, "ben", policy_digest="x"), vote(2, "chi", policy_digest="x"), grant()],
            "not-satisfied",
            (9,),
        ),
        ("one good, one bad", [*TWO, grant(), grant(10, request_id="r2")], "not-satisfied", (10,)),
        ("only a grant on something else", [*TWO, grant(resource="model/wren")], "not-tested", ()),
        ("no grant", TWO, "not-tested", ()),
    ],
)
def test_e01_two_distinct_eligible_approvers(
    story: str, facts: list[Fact], result: str, failing: tuple[int, ...]
) -> None:
    grants, votes = ([one for one in facts if one.kind == kind] for kind in (approvals.GRANT, approvals.VOTE))
    # Judged by the policy of that day: today nobody of that day is on a team, and the model is guarded no more.
    found = approvals.compute(grants, votes, THEN, LATER)
    assert (found.result, found.failing) == (result, failing), story


def test_e01_a_model_that_is_guarded_now_was_not_forgotten_then() -> None:
    found = approvals.compute([grant(policy_digest="new")], TWO, THEN, KNOWN)
    assert (found.result, found.population) == ("satisfied", 1)
    unknown = approvals.compute([grant(policy_digest="gone")], TWO, THEN, LATER)
    assert unknown.result == "not-tested"


LAB = Standing(
    privileged=(), other=("auditing",), class_of={"model/tern": "frontier"}, longest={"frontier": 8 * HOUR}
)


@pytest.mark.parametrize(
    ("story", "facts", "known", "result"),
    [
        ("short grants, nothing standing", [grant(end=8 * HOUR)], LAB, "satisfied"),
        ("a millisecond too long", [grant(end=8 * HOUR + 1)], LAB, "not-satisfied"),
        ("no end", [grant(end=None)], LAB, "not-satisfied"),
        ("of no known class", [grant(resource="model/gone")], LAB, "not-satisfied"),
        ("standing privilege", [grant()], msgspec.structs.replace(LAB, privileged=("root",)), "not-satisfied"),
        ("standing privilege and no grant", [], msgspec.structs.replace(LAB, privileged=("root",)), "not-satisfied"),
        ("no grant in the period", [], LAB, "not-tested"),
        ("no resources", [], msgspec.structs.replace(LAB, class_of={}), "not-tested"),
    ],
)
def test_e02_no_standing_privilege_and_no_overlong_grant(
    story: str, facts: list[Fact], known: Standing, result: str
) -> None:
    assert standing_access.compute(facts, known, {"old": known}).result == result, story


def test_e02_a_grant_is_as_long_as_its_class_allowed_on_the_day_it_began() -> None:
    tighter = msgspec.structs.replace(LAB, longest={"frontier": HOUR})
    assert standing_access.compute([grant(end=8 * HOUR)], tighter, {"old": LAB}).result == "satisfied"
    assert standing_access.compute([grant(end=8 * HOUR)], LAB, {"old": tighter}).result == "not-satisfied"
    assert standing_access.compute([grant()], LAB, {}).result == "not-satisfied"


ROOT = msgspec.structs.replace(LAB, privileged=("root",))


def publication(index: int, previous: str, digest: str) -> Fact:
    data = {"digest": digest, "previous": previous}
    return Fact(
        index=index, at=index, kind="access.PolicyPublished", subject=digest, data=data, leaf=f"sha256:{index}"
    )


@pytest.mark.parametrize(
    ("story", "published", "failing"),
    [
        ("it came and went", [publication(3, "old", "root"), publication(5, "root", "old")], (3,)),
        ("it stood when the period began, and went", [publication(5, "root", "old")], ()),
        ("a policy of the period that nobody can read", [publication(5, "gone", "old")], ()),
    ],
)
def test_e02_what_stood_in_the_period_is_found_though_it_stands_no_more(
    story: str, published: list[Fact], failing: tuple[int, ...]
) -> None:
    then = {"old": LAB, "root": ROOT}
    for grants in ([grant()], []):
        found = standing_access.compute(grants, LAB, then, published)
        assert (found.result, found.failing) == ("not-satisfied", failing), story
    assert standing_access.compute([grant()], LAB, then, [publication(5, "old", "old")]).result == "satisfied"


def test_e02_says_the_longest_grant_and_what_it_does_not_judge() -> None:
    found = standing_access.compute([grant(end=90 * 60_000)], LAB, {"old": LAB})
    assert "frontier: 1 h 30 min" in found.detail
    assert "auditing" in found.detail
