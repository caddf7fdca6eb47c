"""Judging an attack: only the expected code with exactly one line of each kind counts; all else is MISSED."""

from __future__ import annotations

from typing import Any

import pytest

from weighthouse.assurance.model import Expected, Line, Observed, Trace
from weighthouse.assurance.rules import judge

EXPECTED = Expected(
    status="BLOCKED",
    room="access",
    code="access.own_request",
    traces=(Trace("access.Denied", {"code": "access.own_request"}),),
)


def line(index: int = 7, kind: str = "access.Denied", **data: Any) -> Line:
    return Line(index, kind, data or {"code": "access.own_request"})


@pytest.mark.parametrize(
    ("story", "observed", "lines", "status"),
    [
        ("stopped, and told once", Observed(code="access.own_request"), [line()], "BLOCKED"),
        ("stopped among other lines", Observed(code="access.own_request"), [line(5, "x.Y"), line()], "BLOCKED"),
        ("stopped by another guard", Observed(code="access.not_eligible"), [line()], "MISSED"),
        ("not stopped", Observed(), [line()], "MISSED"),
        ("stopped in silence", Observed(code="access.own_request"), [], "MISSED"),
        ("told of twice", Observed(code="access.own_request"), [line(7), line(8)], "MISSED"),
        ("told of something else", Observed(code="access.own_request"), [line(code="access.other")], "MISSED"),
        (
            "refused, but the thief got it anyway",
            Observed(code="access.own_request", loot="a key"),
            [line()],
            "MISSED",
        ),
    ],
)
def test_an_outcome_is_judged_only_from_what_happened(
    story: str, observed: Observed, lines: list[Line], status: str
) -> None:
    assert judge.judge(EXPECTED, observed, lines).status == status, story


def test_a_detection_counts_as_detected_only_with_each_of_its_lines() -> None:
    expected = Expected(status="DETECTED", room="audit", code="audit.tampered", traces=(Trace("a.B"), Trace("c.D")))
    seen = Observed(code="audit.tampered")
    assert judge.judge(expected, seen, [line(1, "a.B"), line(2, "c.D")]).status == "DETECTED"
    assert judge.judge(expected, seen, [line(1, "a.B")]).status == "MISSED"


def test_the_verdict_names_the_line_that_proves_it() -> None:
    assert judge.judge(EXPECTED, Observed(code="access.own_request"), [line(41)]).index == 41


@pytest.mark.parametrize(
    ("path", "found"),
    [("a", ["1"]), ("b.0.c", ["x"]), ("b.*.c", ["x", "y"]), ("b.5.c", []), ("z", []), ("a.b", [])],
)
def test_traces_look_into_nested_data(path: str, found: list[str]) -> None:
    assert judge.lookup({"a": "1", "b": [{"c": "x"}, {"c": "y"}]}, path) == found
