"""Attack: lock the followers' table, so that what a follower would take back stays, and nobody is told.

The log itself is on time then. A follower that neither moves nor is at the end is a problem after a minute, whatever
its row says, and one that comes on is none, however far behind it is.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.audit.support import Lab, Noted
from weighthouse.audit import api
from weighthouse.audit.api.waking import ASLEEP
from weighthouse.core.clock import HOUR, MINUTE, SECOND, ManualClock
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import read

QUIET = api.Follower("test.quiet", frozenset(), lambda unit, entry: None)


def problems(lab: Lab) -> tuple[str, ...]:
    with read(lab.system) as unit:
        return api.condition(unit).problems


def minutes(lab: Lab, clock: ManualClock, count: int, each: Callable[[], object] = lambda: None) -> None:
    for _ in range(count * 6):
        clock.advance(10 * SECOND)
        each()
        api.behind(lab.system)


def test_a_follower_whose_table_is_locked_is_a_problem_after_a_minute(postgres_lab: Lab, clock: ManualClock) -> None:
    lab = postgres_lab
    lab.write(Noted(number=1))
    api.pump(lab.system, QUIET)
    with lab.system.database.engine.connect() as other:
        other.execute(text("LOCK TABLE log_follower IN SHARE MODE"))
        lab.write(Noted(number=2))
        with pytest.raises(Unavailable):
            api.pump(lab.system, QUIET)
        minutes(lab, clock, 2)
        assert api.behind(lab.system).since >= 2 * 60 * SECOND
        assert "the follower test.quiet has stood still for 120 s while lines wait for it" in problems(lab)
    api.pump(lab.system, QUIET)
    assert api.behind(lab.system).since == 0 and problems(lab) == ()


def test_a_follower_that_fails_at_one_entry_stands_still(any_lab: Lab, clock: ManualClock) -> None:
    def refuse(_unit: object, entry: api.Entry) -> None:
        if entry.data.get("number") == 2:
            raise ValueError("not this one")

    failing = api.Follower("test.failing", frozenset(), refuse)

    def pump() -> None:
        with pytest.raises(ValueError, match="not this one"):
            api.pump(lab.system, failing)

    lab = any_lab
    lab.write(Noted(number=1))
    api.pump(lab.system, failing)
    lab.write(Noted(number=2))
    minutes(lab, clock, 2, pump)
    assert api.behind(lab.system).why == "the follower test.failing stands still"


def test_a_follower_that_comes_on_does_not_stand_however_far_behind(lab: Lab, clock: ManualClock) -> None:
    lab.many(40)
    minutes(lab, clock, 3, lambda: api.pump(lab.system, QUIET, 2))
    assert api.behind(lab.system).since <= 10 * SECOND


def test_a_machine_that_slept_has_left_no_follower_standing(lab: Lab, clock: ManualClock) -> None:
    lab.many(2)
    api.pump(lab.system, QUIET)
    api.behind(lab.system)
    clock.advance(8 * HOUR)
    lab.many(2)
    assert api.behind(lab.system).since < ASLEEP


def test_asks_that_a_lock_leaves_without_an_answer_are_no_sleep(postgres_lab: Lab, clock: ManualClock) -> None:
    """Attack: beside the followers' table, lock the head for most of every half minute, so that nobody can ask."""
    lab = postgres_lab
    lab.write(Noted(number=1))
    api.pump(lab.system, QUIET)
    lab.write(Noted(number=2))
    for _ in range(4):
        clock.advance(11 * SECOND)
        with lab.system.database.engine.connect() as other:
            other.execute(text("LOCK TABLE log_head IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(Unavailable):
                api.behind(lab.system)
        clock.advance(11 * SECOND)
        found = api.behind(lab.system)
    assert found.since >= MINUTE and found.why == "the follower test.quiet stands still"
