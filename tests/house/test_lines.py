"""No decision looks an entry of the log up by a column: `audit.entries` by kind or subject is for showing.

A column can be edited to hide a line. What a decision looks for, it finds through `audit.Lines`, which reads the log
as it was hashed. Who may select by columns is listed here, and each is read by eye.
"""

from __future__ import annotations

import ast

from tests.house import source

SHOWN = {
    # Pages and lists of the log itself: they show what they are given, and whoever decides by them is a person.
    "src/weighthouse/web/routes/api.py",
    "src/weighthouse/web/routes/audit.py",
    # What each session did lately, shown to its owner beside the button that ends it; nothing is decided by it.
    "src/weighthouse/identity/api/lately.py",
    # Scenarios of the catalogue judge a theft on a stage of their own, which nobody edits behind them.
    "src/weighthouse/assurance/scenarios/destroyed_under_hold.py",
    "src/weighthouse/assurance/scenarios/disk_flood.py",
    "src/weighthouse/assurance/scenarios/ended_under_hold.py",
    "src/weighthouse/assurance/scenarios/endless_body.py",
    "src/weighthouse/assurance/scenarios/frozen_guard.py",
    "src/weighthouse/assurance/scenarios/leaky_names.py",
    "src/weighthouse/assurance/scenarios/log_flood.py",
    "src/weighthouse/assurance/scenarios/output_drain.py",
    "src/weighthouse/assurance/scenarios/stopped_clock.py",
    "src/weighthouse/assurance/scenarios/thief.py",
}
# The whole log as it was hashed: these lay every row against the tree, whatever its columns say.
READERS = {"checking.py", "finding.py", "following.py", "proving.py", "reading.py", "scanning.py", "tallying.py"}


def by_column(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    chosen = {one.arg for one in call.keywords}
    return name in {"entries", "read_entries"} and bool({"kind", "subject", None} & chosen)


def selecting() -> set[str]:
    return {
        source.shown(path)
        for path in source.product()
        for node in source.nodes(path)
        if isinstance(node, ast.Call) and by_column(node)
    }


def test_only_what_shows_the_log_selects_its_entries_by_column() -> None:
    assert selecting() - {"src/weighthouse/audit/api/reading.py"} == SHOWN


def test_only_the_room_of_the_log_reads_its_rows() -> None:
    reading = {
        path.name
        for path in source.product()
        for node in source.nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in {"read_entries", "entries_at"}
    }
    assert reading == READERS


def test_a_selection_by_column_is_seen() -> None:
    for text, found in (
        ("audit.entries(unit, kind='x')", True),
        ("entries(unit, subject=s, limit=1)", True),
        ("audit.entries(unit, **by)", True),
        ("audit.entries(unit, start=1)", False),
        ("lines.of(unit, 'x')", False),
    ):
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call) and by_column(call) is found, text
