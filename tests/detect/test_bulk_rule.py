"""Bulk reads as a pure function: more than the limit within one window, per person, each read once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.detect.model import Read
from weighthouse.detect.rules import bulk

T = 10 * HOUR


def read(index: int, at: int = T, size: int = 10, loads: int = 1) -> Read:
    return Read(index=index, at=at, person="eve", loads=loads, bytes=size)


def test_more_loads_than_the_limit_fires_with_all_of_the_window_as_evidence() -> None:
    incident = bulk.find([read(i, T + i * MINUTE) for i in range(6)], 5, 0, HOUR)
    assert incident is not None
    assert incident.evidence == (0, 1, 2, 3, 4, 5)
    assert incident.principal == "eve"


def test_more_bytes_than_the_limit_fires_even_in_one_read() -> None:
    assert bulk.find([read(3, size=1001)], 5, 1000, HOUR) is not None


@pytest.mark.parametrize(
    ("story", "reads"),
    [
        ("exactly the limit of loads", [read(i) for i in range(5)]),
        ("exactly the limit of bytes", [read(1, size=1000)]),
        ("a steady day of work", [read(i, T + i * 13 * MINUTE) for i in range(40)]),
        ("one read that the log shows eight times", [read(4) for _ in range(8)]),
        ("nothing", []),
    ],
)
def test_benign_look_alikes_do_not_fire(story: str, reads: list[Read]) -> None:
    assert bulk.find(reads, 5, 1000, HOUR) is None, story


def test_limits_of_zero_switch_a_measure_off() -> None:
    assert bulk.find([read(i, size=10**9) for i in range(100)], 0, 0, HOUR) is None


@given(st.lists(st.tuples(st.integers(T, T + 3 * HOUR), st.integers(0, 400)), max_size=30))
def test_it_agrees_with_the_slow_definition_in_any_order(found: list[tuple[int, int]]) -> None:
    reads = [read(i, at, size) for i, (at, size) in enumerate(found)]
    windows = [[one for one in reads if end.at - HOUR < one.at <= end.at] for end in reads]
    slow = any(len(inside) > 5 or sum(one.bytes for one in inside) > 1000 for inside in windows)
    assert (bulk.find(reads, 5, 1000, HOUR) is not None) == slow
    assert bulk.find(reversed(reads), 5, 1000, HOUR) == bulk.find(reads, 5, 1000, HOUR)
