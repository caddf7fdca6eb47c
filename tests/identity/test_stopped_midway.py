"""A sign-in that is under way while everything of its person is stopped gives nothing that outlives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.identity.support import Lab
from tests.identity.test_everything_stopped import held_back, stopped
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse_sdk.client import ProblemError

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def postgres_lab(postgres_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[Lab]:
    opened = Database(postgres_url)
    opened.create_all()
    yield Lab(opened, clock, tmp_path)
    opened.close()


@pytest.mark.parametrize("how", ["not me", "freeze", "detection"])
def test_a_stop_that_commits_while_a_sign_in_is_under_way_is_a_stop_for_it_too(postgres_lab: Lab, how: str) -> None:
    lab = postgres_lab
    owner = lab.sign_in("ben")
    thief, transaction, params = held_back(lab)
    lab.clock.advance(30_000)
    told: list[str] = []

    def finish() -> None:
        try:
            thief.token = str(thief.post("token", {"transaction": transaction, "params": params})["token"])
        except ProblemError as error:
            told.append(error.code)

    walking = threading.Thread(target=finish)
    with lab.system.database.engine.connect() as slow:  # a slow moment of the database: its history takes no more
        slow.execute(text("LOCK TABLE identity_result IN SHARE MODE"))
        walking.start()
        while not lab.sql(WAITING)[0][0]:
            walking.join(timeout=0.01)
        stopped(lab, how, owner)
    walking.join()
    while audit.sequence(lab.system):
        pass
    assert told == ["identity.start_stopped"]
    assert lab.told("SignInFailed", "reason") == ["identity.start_stopped"]
    assert not thief.token and lab.told("SessionStarted", "principal").count("ben") == 1
