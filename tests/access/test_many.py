"""Long lists, read to their end while they change: nothing missing, nothing twice, what is active first.

`make soak` sets WEIGHTHOUSE_MANY=100: ten thousand grants, five thousand requests, two thousand people.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.access.support import LAB, Lab
from weighthouse.access import api
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.paging import Page
from weighthouse.core.work import begin, read

MANY = int(os.environ.get("WEIGHTHOUSE_MANY", "1"))
GRANTS, REQUESTS, PEOPLE = 100 * MANY + 20, 50 * MANY + 10, 20 * MANY
pytestmark = [pytest.mark.timeout(max(300, 30 * MANY)), *([pytest.mark.soak] if MANY > 1 else [])]


def crowd(count: int) -> str:
    """The example lab with so many more people in training."""
    more = "".join(
        f"  p{n}:\n    name: Person {n}\n    accounts: [{{issuer: dev, subject: p{n}}}]\n    teams: [training]\n"
        for n in range(count)
    )
    return LAB.read_text("utf-8").replace("  ben:\n    name: Ben", f"{more}  ben:\n    name: Ben", 1)


@pytest.fixture
def crowded(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(database, clock, tmp_path, crowd(PEOPLE))


def walk(page: Callable[[str | None], Page[Any]], meanwhile: Callable[[int], None]) -> list[Any]:
    """Read a list to its end; `meanwhile` is what others do after each page."""
    found: list[Any] = []
    cursor, turn = None, 0
    while True:
        here = page(cursor)
        found += here.items
        cursor, turn = here.next, turn + 1
        if cursor is None:
            return found
        meanwhile(turn)


def start(lab: Lab, duration: int) -> str:
    return lab.ask("ada", "wren-train", "model/wren", duration=duration).id


def give_back(lab: Lab, grant: str) -> None:
    with begin(lab.system) as unit:
        api.give_back(unit, lab.caller("ada"), grant)


def test_grants_are_complete_active_first_and_told_once_while_they_end(lab: Lab) -> None:
    live = {start(lab, HOUR).replace("req_", "grt_")}  # ends first, and would stand last by its end
    for _ in range(GRANTS):
        ended = start(lab, 8 * HOUR).replace("req_", "grt_")
        lab.clock.advance(1000 if MANY == 1 else 1)
        give_back(lab, ended)
    live |= {start(lab, 2 * HOUR + n * MINUTE).replace("req_", "grt_") for n in range(30)}
    given = iter(sorted(live)[:20])

    def page(cursor: str | None) -> Page[api.Grant]:
        with read(lab.system) as unit:
            return api.grants_page(unit, lab.caller("ada"), cursor=cursor, limit=9)

    def meanwhile(turn: int) -> None:
        lab.clock.advance(1)
        if turn % 2 and (one := next(given, None)):
            give_back(lab, one)
        if turn % 5 == 0:
            start(lab, 3 * HOUR + turn * MINUTE)

    first = page(None)
    assert all(one.state == "active" for one in first.items), "nothing active hides behind what has ended"
    found = [str(one.id) for one in walk(page, meanwhile)]
    assert len(found) == len(set(found)) and len(set(found)) >= GRANTS + 31
    assert live <= set(found)
    assert set(found[: len(live)]) & live, "they come first"


def test_an_inbox_and_own_requests_are_complete_while_people_ask_and_withdraw(crowded: Lab) -> None:
    asked: list[tuple[str, str]] = []
    each = max(1, min(20, REQUESTS // PEOPLE + 1))
    for n in range(REQUESTS):
        person = f"p{n // each % PEOPLE}"
        wish = {"version": f"ver_{n}", "destination": "archive"}
        asked.append((person, crowded.ask(person, "tern-export", duration=HOUR, operation=wish).id))
        crowded.clock.advance(1)
    gone = iter(asked[REQUESTS // 2 :])
    left: set[str] = set()

    def page(cursor: str | None) -> Page[api.Card]:
        with read(crowded.system) as unit:
            return api.inbox_page(unit, crowded.caller("ben"), cursor=cursor, limit=7)

    def meanwhile(_turn: int) -> None:
        crowded.clock.advance(1)
        person, request = next(gone, ("", ""))
        if request:
            with begin(crowded.system) as unit:
                api.withdraw(unit, crowded.caller(person), request)
            left.add(request)

    found = [one.request.id for one in walk(page, meanwhile)]
    assert len(found) == len(set(found)), "nothing twice"
    assert {request for _, request in asked} - left <= set(found) <= {request for _, request in asked}
    person = asked[0][0]
    own = [request for who, request in asked if who == person]
    with read(crowded.system) as unit:
        pages = api.requests_page(unit, crowded.caller(person), limit=2)
        assert set(walk_ids(unit, crowded, person)) == set(own) and (pages.next is None) == (len(own) <= 2)


def walk_ids(unit: Any, lab: Lab, person: str) -> list[str]:
    found = walk(
        lambda cursor: api.requests_page(unit, lab.caller(person), cursor=cursor, limit=2), lambda _turn: None
    )
    return [one.id for one in found]


def test_what_the_badge_costs_does_not_grow_with_what_waits_for_others(crowded: Lab) -> None:
    for n in range(PEOPLE):
        crowded.ask(f"p{n}", "tern-load", duration=HOUR)
    opened: list[str] = []
    from weighthouse.access.api import cards

    real = cards.open_request
    with pytest.MonkeyPatch.context() as patch:  # a count of what is opened; the opening itself is the real one
        patch.setattr(cards, "open_request", lambda unit, row: (opened.append(row.id), real(unit, row))[1])
        with read(crowded.system) as unit:
            assert api.waiting(unit, crowded.caller("gil")) == 0 and opened == []
            assert api.waiting(unit, crowded.caller("ben"), limit=5) == 5 and len(opened) == 5


def test_requests_that_are_over_hide_none_behind_them_from_the_badge(lab: Lab) -> None:
    """A row that was put back after its request ended still looks pending: it is first in the list, and no answer."""
    first = lab.ask("ada", "tern-load")
    with begin(lab.system) as unit:
        api.withdraw(unit, lab.caller("ada"), first.id)
    lab.sql("UPDATE access_request SET state = 'pending', settled = NULL, settled_why = '' WHERE id = :i", i=first.id)
    lab.clock.advance(1)
    lab.ask("ada", "tern-load", duration=HOUR)
    with read(lab.system) as unit:
        assert api.waiting(unit, lab.caller("ben"), limit=1) == 1
