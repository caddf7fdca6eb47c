"""Attack: stall the log, and delete the row of a "no" or a recusal that its member was told of, before the closing.

A decision never takes the log for complete while an answer waits for it, whoever deletes what; and an answer that
opens nothing is remembered beside the database before any lock is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.governance.conftest import Committee
from tests.governance.nine import Nine
from tests.governance.test_called_together import signed
from weighthouse.access.api import owing
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import begin
from weighthouse.governance import api

ROW = "DELETE FROM governance_ballot WHERE choice <> 'for'"


@pytest.fixture
def nine(postgres_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[Nine]:
    database = Database(postgres_url)
    database.create_all()
    yield Nine(database, clock, tmp_path)
    database.close()


@pytest.fixture
def motion(nine: Nine) -> str:
    nine.hold("gil")
    nine.settle()
    return nine.open(str(nine.status().hold)).motion.id


def refused(nine: Nine, motion: str) -> str:
    with pytest.raises(Unavailable) as refusal:
        nine.close(motion)
    return refusal.value.code


@pytest.mark.parametrize("choice", ["recuse", "against"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "at another server"])
def test_nothing_is_decided_while_an_answer_waits_for_the_log(
    nine: Nine, motion: str, choice: str, *, elsewhere: bool
) -> None:
    nine.answer(motion, "for", "gil", "ivo", "m4", "m5", "m6")
    nine.device("hana")
    nine.settle()
    Committee.cast(nine, "hana", motion, choice)
    assert nine.sql(ROW) == 1
    if elsewhere:
        nine.elsewhere()
    assert refused(nine, motion) == "governance.rows_edited"
    assert nine.status().held
    nine.settle()
    shown = nine.motion(motion, "gil")
    assert (shown.tally.recused, shown.tally.votes_against) == ((("hana",), 0) if choice == "recuse" else ((), 1))


def test_an_answer_whose_line_was_taken_too_is_missed_and_said_again(nine: Nine, motion: str) -> None:
    nine.answer(motion, "for", "gil", "ivo", "m4", "m5", "m6")
    nine.device("hana")
    nine.settle()
    Committee.cast(nine, "hana", motion, "against")
    nine.sql(ROW)
    nine.sql("DELETE FROM log_outbox")
    assert refused(nine, motion) == "governance.rows_edited"
    assert nine.status().held


def test_an_answer_that_meets_a_lock_stands_and_is_told(nine: Nine, motion: str) -> None:
    nine.answer(motion, "for", "gil", "ivo", "m4", "m5", "m6")
    nine.device("hana")
    nine.settle()
    sent, caller = signed(nine, motion, "against"), nine.person("hana")
    with nine.system.database.engine.begin() as connection:
        name = {"name": f"governance answer {motion} hana"}
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), name)
        with pytest.raises(Unavailable) as lost, begin(nine.system, caller) as unit:
            unit.conn.execute(text("SET LOCAL lock_timeout = '200ms'"))
            api.cast(unit, caller, motion, "against", **sent)
    assert lost.value.message.endswith(owing.STANDS)
    assert refused(nine, motion) == "governance.rows_edited"
    nine.settle()
    nine.clock.advance(2 * MINUTE)
    assert owing.pay(nine.system) == 1
    nine.settle()
    assert nine.motion(motion, "gil").tally.votes_against == 1
    assert [one["member"] for one in nine.facts("governance.BallotCast") if one["choice"] == "against"] == ["hana"]
