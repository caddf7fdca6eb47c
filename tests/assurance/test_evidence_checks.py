"""Each evidence check with a satisfied, a not-satisfied and a not-tested case: never green by absence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from weighthouse.assurance.checks import log_verified, red_team, session_risk
from weighthouse.assurance.checks.facts import Fact, samples
from weighthouse.assurance.model import SAMPLES, SHEETS, Finding, Version
from weighthouse.assurance.rules import freshness
from weighthouse.core.clock import HOUR


def fact(index: int, kind: str, **data: Any) -> Fact:
    return Fact(index=index, at=index, kind=kind, subject="", data=data, leaf=f"sha256:{index}")


def session(index: int, **data: Any) -> Fact:
    return fact(index, "identity.SessionStarted", **data)


@pytest.mark.parametrize(
    ("story", "facts", "result", "failing"),
    [
        ("found nothing, one factor", [session(1, reasons=[], level=1)], "satisfied", ()),
        ("asked, and had a second factor", [session(1, reasons=["new_device"], level=2)], "satisfied", ()),
        (
            "asked, and had none",
            [session(1, reasons=[], level=1), session(4, reasons=["new_device"], level=1)],
            "not-satisfied",
            (4,),
        ),
        ("never evaluated", [session(3, level=2)], "not-satisfied", (3,)),
        ("level unknown", [session(3, reasons=[])], "not-satisfied", (3,)),
        ("no session", [fact(1, "identity.SessionEnded")], "not-tested", ()),
    ],
)
def test_e07_sessions_have_a_risk_evaluation(
    story: str, facts: list[Fact], result: str, failing: tuple[int, ...]
) -> None:
    found = session_risk.compute(facts)
    assert (found.result, found.failing) == (result, failing), story


def test_e17_is_satisfied_by_a_whole_log_only() -> None:
    assert log_verified.compute(True, 10, (), "ab").result == "satisfied"
    broken = log_verified.compute(False, 10, ((4, "the leaf was edited"), (-1, "no checkpoint")), "ab")
    assert (broken.result, broken.failing) == ("not-satisfied", (4,))
    assert "index 4" in broken.detail
    assert log_verified.compute(False, 10, (), "ab").result == "not-satisfied"
    assert log_verified.compute(True, 0, (), "").result == "not-tested"


HERE = Version(program="p", catalogue="c", policy="l")


def attack(index: int, scenario: str, status: str, **on: str) -> Fact:
    on = {**msgspec.structs.asdict(HERE), **on}
    return fact(index, "assurance.AttackRun", scenario=scenario, status=status, expected="BLOCKED", **on)


def e19(facts: list[Fact], catalogue: list[str], fresh_since: int = 0) -> Finding:
    return red_team.compute(facts, catalogue, HERE, fresh_since)


@pytest.mark.parametrize(
    ("story", "facts", "catalogue", "result"),
    [
        ("all held", [attack(1, "A", "BLOCKED"), attack(2, "B", "BLOCKED")], ["A", "B"], "satisfied"),
        ("one missed", [attack(1, "A", "BLOCKED"), attack(2, "B", "MISSED")], ["A", "B"], "not-satisfied"),
        ("missed before, held now", [attack(1, "A", "MISSED"), attack(2, "A", "BLOCKED")], ["A"], "satisfied"),
        ("held before, missed now", [attack(1, "A", "BLOCKED"), attack(2, "A", "MISSED")], ["A"], "not-satisfied"),
        ("one never run", [attack(1, "A", "BLOCKED")], ["A", "B"], "not-tested"),
        ("one NOT RUN", [attack(1, "A", "BLOCKED"), attack(2, "B", "NOT RUN")], ["A", "B"], "not-tested"),
        ("ran before, not this time", [attack(1, "A", "BLOCKED"), attack(2, "A", "NOT RUN")], ["A"], "not-tested"),
        ("missed, then not run", [attack(1, "A", "MISSED"), attack(2, "A", "NOT RUN")], ["A"], "not-satisfied"),
        (
            "missed, held, then not run",
            [attack(1, "A", "MISSED"), attack(2, "A", "BLOCKED"), attack(3, "A", "NOT RUN")],
            ["A"],
            "not-tested",
        ),
        ("missed on another program", [attack(1, "A", "MISSED", program="q")], ["A"], "not-satisfied"),
        ("held on another program", [attack(1, "A", "BLOCKED", program="q")], ["A"], "not-tested"),
        ("held in another catalogue", [attack(1, "A", "BLOCKED", catalogue="q")], ["A"], "not-tested"),
        ("held under another policy", [attack(1, "A", "BLOCKED", policy="q")], ["A"], "not-tested"),
        ("held before versions were kept", [attack(1, "A", "BLOCKED", program="", policy="")], ["A"], "not-tested"),
        ("only one that left the catalogue", [attack(1, "Z", "BLOCKED")], ["A"], "not-tested"),
        ("nothing run", [], ["A"], "not-tested"),
        ("no catalogue", [], [], "not-tested"),
    ],
)
def test_e19_scores_the_newest_outcome_of_every_scenario(
    story: str, facts: list[Fact], catalogue: list[str], result: str
) -> None:
    assert e19(facts, catalogue).result == result, story


def test_e19_counts_what_held_of_the_whole_catalogue() -> None:
    names = [f"A{n}" for n in range(39)]
    missed = [attack(n, name, "MISSED") for n, name in enumerate(names[1:], 1)]
    unrun = [attack(100 + n, name, "NOT RUN") for n, name in enumerate(names[1:], 1)]
    found = e19([attack(0, "A0", "BLOCKED"), *missed, *unrun], names)
    assert (found.result, len(found.failing)) == ("not-satisfied", 38)
    assert found.detail.startswith("1 of 39 attacks held (2 %). Missed: A1, ")


def test_e19_an_old_success_proves_nothing_and_an_old_failure_stays_one() -> None:
    old = e19([attack(1, "A", "BLOCKED"), attack(9, "B", "BLOCKED")], ["A", "B"], fresh_since=5)
    assert (old.result, old.detail) == ("not-tested", "1 of 2 attacks held (50 %). Not tested: 1 not run lately (A).")
    missed = e19([attack(1, "A", "MISSED"), attack(9, "B", "BLOCKED")], ["A", "B"], fresh_since=5)
    assert missed.result == "not-satisfied"


def test_e19_says_why_attacks_prove_nothing_and_names_a_few() -> None:
    names = [f"A{n}" for n in range(9)]
    found = e19([attack(1, "A0", "BLOCKED"), attack(9, "A1", "BLOCKED")], names, fresh_since=5)
    why = "1 not run lately (A0); 7 never run (A2, A3, A4, A5, A6, and 2 more)"
    assert (found.result, found.detail) == ("not-tested", f"1 of 9 attacks held (11 %). Not tested: {why}.")


def test_samples_name_failing_leaves_first_and_pin_down_the_whole_population() -> None:
    facts = [fact(i, "k") for i in range(20)]
    found = samples(facts, [17])
    assert found[0] == "sha256:17"
    assert len(found) == SAMPLES + 1
    assert samples(facts[:-1], [17])[-1] != found[-1]


SHEET = SHEETS[3]
GOOD = Finding(result="satisfied", detail="fine", population=1)
BAD = Finding(result="not-satisfied", detail="broken", population=1)


@pytest.mark.parametrize(
    ("story", "finding", "age", "version", "result"),
    [
        ("fresh", GOOD, HOUR, 1, "satisfied"),
        ("at the limit", GOOD, SHEET.fresh_for, 1, "satisfied"),
        ("stale", GOOD, SHEET.fresh_for + 1, 1, "not-tested"),
        ("an older query", GOOD, HOUR, 0, "not-tested"),
        ("a failure does not heal by waiting", BAD, SHEET.fresh_for + 1, 1, "not-satisfied"),
    ],
)
def test_a_stale_finding_is_not_tested(story: str, finding: Finding, age: int, version: int, result: str) -> None:
    shown = freshness.shown(SHEET, finding, at=HOUR, version=version, period=(0, HOUR), index=3, now=HOUR + age)
    assert shown.result == result, story
    assert freshness.untested(SHEET).result == "not-tested"
