"""Which hold stops what, cell by cell: what is golden is read by people, and these are the cells that must not move."""

from __future__ import annotations

from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "house" / "golden" / "holds.txt"


WIDE = 8


def cells() -> dict[str, dict[str, str]]:
    """The table as it is committed; tests/house/test_golden.py asks every point anew and compares."""
    head, *rows = [line for line in TABLE.read_text("utf-8").splitlines() if line][3:]
    first = head.index("request")
    starts = range(first, len(head), WIDE)
    return {
        line[:first].strip(): {head[at : at + WIDE].strip(): line[at : at + WIDE].strip() for at in starts}
        for line in rows
    }


def test_without_a_hold_every_point_is_open_and_a_hold_on_something_else_stops_none() -> None:
    for row in ("(no hold)", "model/tern, another"):
        assert set(cells()[row].values()) == {"-"}, row


def test_every_answer_is_a_hold_or_none() -> None:
    """Another code would be a point that was refused for something else: then nothing was tried there."""
    assert {cell for row in cells().values() for cell in row.values()} == {"held", "-"}


@pytest.mark.parametrize(
    "point", ["submit", "start", "running", "load", "lease", "export", "destroy", "its end", "model"]
)
def test_a_hold_of_everything_stops_each_point_whatever_of_the_thing_it_is_on(point: str) -> None:
    found = cells()
    near = ["lab", "class:internal", "environment:research", "model/finch", "version of Finch itself"]
    made_from = ["model/wren, its parent's model", "version of Wren, its parent"]
    assert {found[row][point] for row in (*near, *made_from)} == {"held"}


READING = {"submit", "start", "running"}
ENDS = {"destroy", "its end", "model"}  # which any hold stops
TRAINED = {"request", "load", "lease", "export"} | ENDS


@pytest.mark.parametrize(
    ("row", "stopped"),
    [
        ("dataset/stdlib", READING | TRAINED),
        ("class:public, the data's", READING | TRAINED),
        ("dataset/stdlib: run.submit", READING | ENDS),
        ("dataset/stdlib: weights.export", {"request", "export"} | ENDS),
    ],
)
def test_a_hold_on_a_data_set_stops_the_runs_that_read_it_and_what_was_trained_on_it(
    row: str, stopped: set[str]
) -> None:
    assert {point for point, cell in cells()[row].items() if cell == "held"} == stopped


def test_an_export_alone_is_stopped_by_a_hold_on_exports_wherever_it_is_placed() -> None:
    rows = [row for row in cells() if row.endswith(": weights.export") or row.startswith("committee")]
    assert len(rows) == 8
    for row in rows:
        found = {point for point, cell in cells()[row].items() if cell == "held"}
        assert found - ENDS == {"request", "export"}, row
