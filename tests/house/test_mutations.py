"""Every route that changes something is on one table: what it asks for, what its line keeps, what takes it back.

One list of this kind would have shown a thaw that outlived its session. The table is golden: a reviewer reads it, and
what can be checked in it is.
"""

from __future__ import annotations

from pathlib import Path

from tests.house import source
from tests.house.application import rooms_of_routes
from tests.house.test_given import fields
from weighthouse.identity.rules.given import GIVEN
from weighthouse.policy import api as policy

TABLE = Path(__file__).with_name("golden") / "mutations.txt"
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}
KEYS, FACTORS = {"none", "counts", "signs"}, {"none", "session", "act"}


def rows() -> dict[str, list[str]]:
    told = [line for line in TABLE.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    found = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split(" | ")] for line in told)}
    assert len(found) == len(told), "a route stands in one row"
    return found


def test_every_route_that_changes_something_has_its_row() -> None:
    routes = {f"{method} {path}" for method, path in rooms_of_routes() if method in CHANGES}
    missing = routes - set(rows())
    assert not missing, (
        f"say in {TABLE.name} what they ask for, and what takes back what they give: {sorted(missing)}"
    )


def test_what_the_table_says_can_be_true() -> None:
    for route, cells in rows().items():
        if len(cells) == 1:
            twin = cells[0].removeprefix("as ")
            assert len(rows()[twin]) == 5, f"{route} answers as {twin}, which has no row of its own"
            continue
        action, key, factor, line, taken = cells
        assert (key in KEYS, factor in FACTORS) == (True, True), route
        assert key != "none" or action not in policy.KEYED, f"{route}: {action} takes a key that counts"
        assert key != "none" or taken != "its session" or route in UNSIGNED, f"{route} gives what lasts without a key"
        gives = line in GIVEN
        assert (taken == "its session" or taken.startswith(TOLD)) == gives, (
            f"{route}: {line} is {'' if gives else 'not '}taken back by its session"
        )
        assert not gives or "session" in fields(line), f"{line} names no session"


TOLD = "an alert, if what it rests on falls"
"""What does not fall by itself, for whoever could make it fall would aim at it: `access.PublicationFell`."""
UNSIGNED = {"POST /api/v1/alerts/{alert}/acknowledge", "POST /api/v1/requests"}
"""What gives something that lasts, signed by nobody: an alert that is read can be read again; a request asks others."""


def test_the_lines_of_the_table_are_lines_of_the_log() -> None:
    known = {*source.event_kinds(), "-"}
    routes = {f"{method} {path}" for method, path in rooms_of_routes()}
    strange = {cells[3] for route, cells in rows().items() if len(cells) == 5 and route in routes} - known
    assert not strange
