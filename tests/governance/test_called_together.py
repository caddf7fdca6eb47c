"""A hold that enough members call for binds: at one moment, or while somebody hides the first call (C-12, case 53)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.governance.conftest import Committee
from tests.governance.nine import Nine
from tests.weights.world import TERN
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.governance.jobs import timers

WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def nine(postgres_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[Nine]:
    database = Database(postgres_url)
    database.create_all()
    yield Nine(database, clock, tmp_path)
    database.close()


def waiting(nine: Nine) -> int:
    """How many wait for a lock of governance."""
    with nine.system.database.engine.connect() as connection:
        return int(connection.execute(text(WAITS)).scalar_one())


def call(committee: Committee, who: str) -> None:
    caller = committee.person(who)
    with begin(committee.system, caller) as unit:
        api.place_release_hold(unit, caller, TERN, "The evaluation is not finished.")


def test_two_members_who_call_at_one_moment_hold_together(nine: Nine) -> None:
    first, second = nine.person("hana"), nine.person("ivo")
    assert second.principal == "ivo"
    done = threading.Event()
    other = threading.Thread(target=lambda: (call(nine, "ivo"), done.set()))
    with begin(nine.system, first) as unit:
        api.place_release_hold(unit, first, TERN, "The evaluation is not finished.")
        other.start()
        while not waiting(nine) and not done.is_set():
            pass
    other.join()
    assert nine.status().held
    assert nine.status().called_by == ("hana", "ivo")


def test_calls_that_the_log_tells_of_bind_whatever_hid_the_first_one(nine: Nine) -> None:
    call(nine, "hana")
    nine.sql("DELETE FROM governance_call")
    nine.elsewhere()
    call(nine, "ivo")
    nine.sql("DELETE FROM governance_call")
    assert not nine.status().held
    nine.settle()
    assert [timer.run(nine.system) for timer in timers] == [1]
    assert [timer.run(nine.system) for timer in timers] == [0]
    assert nine.status().held
    nine.settle()
    with begin(nine.system) as unit:
        placed = audit.entries(unit, kind="governance.HoldPlaced", limit=9)
    assert [one.data["called_by"] for one in placed] == [["hana", "ivo"]]


def test_whoever_calls_again_makes_the_calls_bind_that_suffice(nine: Nine) -> None:
    call(nine, "hana")
    nine.sql("DELETE FROM governance_call")
    nine.elsewhere()
    call(nine, "ivo")
    nine.settle()
    call(nine, "hana")
    assert nine.status().held


def test_of_two_answers_of_one_member_at_one_moment_the_second_is_refused(nine: Nine) -> None:
    call(nine, "gil")
    nine.settle()
    motion = nine.open(str(nine.status().hold)).motion.id
    nine.device("hana")
    nine.settle()
    sent = {choice: signed(nine, motion, choice) for choice in ("for", "against")}
    said: dict[str, str] = {}

    def answer(choice: str) -> None:
        caller = nine.person("hana")
        try:
            with begin(nine.system, caller) as unit:
                api.cast(unit, caller, motion, choice, **sent[choice])
            said[choice] = ""
        except Conflict as refusal:
            said[choice] = refusal.code

    both = [threading.Thread(target=answer, args=(choice,)) for choice in sent]
    with nine.system.database.engine.begin() as connection:
        name = {"name": f"governance answer {motion} hana"}
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), name)
        for one in both:
            one.start()
        while waiting(nine) + len(said) < len(both):
            pass
    for one in both:
        one.join()
    assert sorted(said.values()) == ["", "governance.already_voted"]


def signed(nine: Nine, motion: str, choice: str) -> dict[str, Any]:
    """What hana sends for an answer, with her factor given for it."""
    device, view = nine.device("hana")[0], nine.motion(motion, "hana")
    statement = {**view.statement, "ballot": choice, "device": device}
    nine.confirm("hana", "committee.ballot", motion, ballot=choice, digest=view.digest)
    signature = nine.sign("hana", statement)
    return {"digest": view.digest, "device": device, "at": statement["at"], "signature": signature}


def test_a_ballot_that_is_on_its_way_to_the_log_is_waited_for_and_a_forged_row_is_not(nine: Nine) -> None:
    call(nine, "gil")
    nine.settle()
    motion = nine.open(str(nine.status().hold)).motion.id
    device = nine.device("hana")[0]
    nine.settle()
    forged = {"motion": motion, "member": "hana", "choice": "for", "device": device, "at": nine.clock.now()}
    row = {**forged, "ballot": json.dumps({**forged, "signature": "A" * 86})}
    del row["at"]
    nine.sql("INSERT INTO governance_ballot VALUES (:motion, :member, :choice, :device, :ballot)", **row)
    assert nine.motion(motion, "gil").fault == ""
    Committee.cast(nine, "hana", motion, "against")
    assert "does not tell yet" in nine.motion(motion, "gil").fault
    nine.settle()
    assert (nine.motion(motion, "gil").fault, nine.motion(motion, "gil").tally.votes_against) == ("", 1)
    assert len(nine.facts("governance.TamperFound")) == 1
