"""Attack: stall the sequencer at one server, so that another learns to the end of a log that does not tell yet.

A row lock by whoever administers the database is enough. What another server refused is not known here then, so after
a minute nothing is decided, whatever the rows say of how long they have waited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.audit.support import Lab, Noted, bind_log
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.app.learning import Learning
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, begin


def test_a_log_that_ends_before_waiting_lines_is_not_learnt_to_its_end(
    postgres_url: str, make_system: Callable[[Database], System], tmp_path: Path, clock: ManualClock
) -> None:
    database = Database(postgres_url)
    database.create_all()
    lab = Lab(bind_log(make_system(database), tmp_path))
    lab.system.bind(Refusals, FileRefusals(tmp_path / "refusals"))
    learning = Learning(lab.system, tmp_path / "learnt")
    refusals = lab.system.part(Refusals)
    with begin(lab.system) as unit:
        audit.append(unit, Noted(number=1))
    learning.catch_up()
    assert refusals.holds() == ()
    lab.sql("UPDATE log_outbox SET at = 4000000000000000")
    clock.advance(2 * MINUTE)
    learning.catch_up()
    with pytest.raises(Unavailable) as refusal:
        refusals.holds()
    assert refusal.value.code == "access.refusals_behind"
    lab.settle()
    learning.catch_up()
    assert refusals.holds() == ()
    database.close()


def test_what_a_follower_would_take_back_is_not_decided_on_while_it_stands_still(
    postgres_url: str, make_system: Callable[[Database], System], tmp_path: Path, clock: ManualClock
) -> None:
    database = Database(postgres_url)
    database.create_all()
    lab = Lab(bind_log(make_system(database), tmp_path))
    lab.system.bind(Refusals, FileRefusals(tmp_path / "refusals"))
    learning, refusals = Learning(lab.system, tmp_path / "learnt"), lab.system.part(Refusals)
    follower = audit.Follower("test.voiding", frozenset(), lambda unit, entry: None)
    audit.pump(lab.system, follower)
    lab.write(Noted(number=1))
    audit.pump(lab.system, follower)
    with database.engine.connect() as other:
        other.execute(text("LOCK TABLE log_follower IN SHARE MODE"))
        lab.write(Noted(number=2))
        for _ in range(9):
            clock.advance(MINUTE // 6)
            learning.catch_up()
        with pytest.raises(Unavailable) as refusal:
            refusals.holds()
        assert refusal.value.code == "access.refusals_behind"
    lab.settle()
    audit.pump(lab.system, follower)
    learning.catch_up()
    assert refusals.holds() == ()
    lines = lab.entries(kind="audit.FellBehind")
    assert [one.data["why"] for one in lines] == ["the follower test.voiding stands still"]
    database.close()


def test_what_was_learnt_is_as_fresh_as_the_moment_before_it_was_asked_for(
    postgres_url: str, make_system: Callable[[Database], System], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: hold back the last answer, or the process with that answer in its socket, for as long as one likes."""
    database = Database(postgres_url)
    database.create_all()
    lab = Lab(bind_log(make_system(database), tmp_path))
    lab.system.bind(Refusals, FileRefusals(tmp_path / "refusals"))
    learning, refusals, behind = Learning(lab.system, tmp_path / "learnt"), lab.system.part(Refusals), audit.behind
    monkeypatch.setattr("weighthouse.app.learning.DOUBT_S", 0.5)

    def late(system: System) -> audit.Behind:
        found = behind(system)
        time.sleep(0.6)
        return found

    monkeypatch.setattr(audit, "behind", late)
    learning.catch_up()
    with pytest.raises(Unavailable) as refusal:
        refusals.holds()
    assert refusal.value.code == "access.refusals_behind"
    monkeypatch.setattr(audit, "behind", behind)
    learning.catch_up()
    assert refusals.holds() == ()
    database.close()
