"""One list, three forms: a table for people, tab-separated lines for a pipe, JSON for programs."""

from __future__ import annotations

import json

import pytest

from weighthouse.cli.show import Column, card, listing

COLUMNS = [
    Column("id", "id"),
    Column("state", "state", "state"),
    Column("until", "until", "time"),
    Column("who", "person.name"),
    Column("slots", "slots"),
    Column("fresh", "fresh", "yes"),
]
ITEMS = [
    {
        "id": "grt_1",
        "state": "active",
        "until": 1_790_000_000_000,
        "person": {"name": "ada\x1b[31m"},
        "slots": ["steward", "security"],
        "fresh": True,
    },
    {"id": "grt_2", "state": "ended", "until": None, "person": {}, "slots": [], "fresh": False},
]


def test_a_pipe_gets_one_exact_line_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    listing(ITEMS, COLUMNS, None, empty="Nothing.")
    assert capsys.readouterr().out.splitlines() == [
        "id\tstate\tuntil\twho\tslots\tfresh",
        "grt_1\tactive\t2026-09-21T14:13:20Z\tada�[31m\tsteward, security\tyes",
        "grt_2\tended\t\t\t\tno",
    ]


def test_json_is_the_answer_itself_and_cannot_repaint_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    listing(ITEMS, COLUMNS, "json", empty="Nothing.")
    out = capsys.readouterr().out
    assert json.loads(out) == {"items": ITEMS}
    assert out.isascii()
    assert "\x1b" not in out


def test_a_table_is_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    listing(ITEMS, COLUMNS, "table", empty="Nothing.")
    out = capsys.readouterr().out
    assert "2026-09-21 14:13:20Z (" in out
    assert "\x1b[31m" not in out
    assert "steward, security" in out


def test_a_last_day_is_shown_as_the_day_that_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    seat, columns = [{"until": 1_806_451_200_000}], [Column("until", "until", "day")]
    listing(seat, columns, "plain", empty="None.")
    assert capsys.readouterr().out.splitlines() == ["until", "2027-03-31"]
    listing(seat, columns, "table", empty="None.")
    assert "end of 2027-03-31 UTC" in capsys.readouterr().out


def test_an_empty_table_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    listing([], COLUMNS, "table", empty="No grants; `weighthouse request` asks for one.")
    assert capsys.readouterr().out == "No grants; `weighthouse request` asks for one.\n"


def test_markup_in_somebodys_text_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich would read [bold] as a command; a reason may not style itself into something it is not."""
    listing([{"reason": "[bold red]approved[/]"}], [Column("reason", "reason")], "table", empty="")
    assert "[bold red]approved[/]" in capsys.readouterr().out


def test_a_card_leaves_out_what_has_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    card(ITEMS[1], COLUMNS, "plain")
    assert capsys.readouterr().out == "id\tgrt_2\nstate\tended\nfresh\tno\n"


def test_what_is_too_wide_for_a_terminal_is_shown_one_block_a_thing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven columns in eighty characters were a table of 'satis' and 'not-t', with no name and no reason."""
    columns = [Column("id", "id"), Column("result", "result", "state"), *(Column(f"n{n}", "title") for n in range(5))]
    items = [{"id": f"E-0{n}", "result": "satisfied", "title": "Every grant had its approvers"} for n in (1, 2)]
    monkeypatch.setenv("COLUMNS", "80")
    listing(items, columns, "table", empty="None.")
    shown = capsys.readouterr().out
    assert shown.count("satisfied") == 2 and shown.count("Every grant had its approvers") == 10
    assert max(map(len, shown.splitlines())) <= 80 and shown.count("\n\n") == 1
    monkeypatch.setenv("COLUMNS", "200")
    listing(items, columns, "table", empty="None.")
    wide = capsys.readouterr().out
    assert wide.count("satisfied") == 2 and len([line for line in wide.splitlines() if "E-0" in line]) == 2
    assert "result" in wide.strip().splitlines()[0]
