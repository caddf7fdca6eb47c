"""Attack: take away what one server writes before another has seen a row of it, so that the other goes on as before.

Two servers over one PostgreSQL. What a server says of itself is sealed and counted; who hears nothing, or hears of
lines that do not come, is behind after a minute, and so is the server whose word does not stay.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.audit.pairs import Pair, carry, cloned, folder_of, mine, started
from tests.audit.support import Lab, Noted
from weighthouse.audit import api
from weighthouse.audit.adapters.acknowledged import FileLines
from weighthouse.audit.api import leaving, waking
from weighthouse.audit.ports import LineMemory
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, MINUTE, SECOND
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, begin, read
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.model import Owed


def is_behind(lab: Lab) -> bool:
    found = api.behind(lab.system).since > MINUTE
    with read(lab.system) as unit:
        assert any("has not been heard" in one for one in api.condition(unit).problems) == found
    return found


def test_servers_that_are_heard_leave_nobody_behind(pair: Pair) -> None:
    pair.minutes(3, attack=lambda: pair.write(pair.first))
    assert not is_behind(pair.first) and not is_behind(pair.second)


def test_a_server_whose_rows_are_all_taken_away_leaves_the_other_behind(pair: Pair) -> None:
    pair.minutes(1)
    lab, name = pair.first, mine(pair.first)
    lab.sql("CREATE TABLE hidden AS SELECT * FROM log_server")

    def hide() -> None:  # the word of the first server is set back, and no line of it waits for anybody to see
        lab.sql("UPDATE log_server SET said = hidden.said, seal = hidden.seal FROM hidden "
                "WHERE log_server.name = hidden.name AND hidden.name = :name", name=name)  # fmt: skip
        lab.sql("DELETE FROM log_outbox WHERE lane LIKE :lane", lane=f"{name}.%")

    pair.minutes(2, attack=hide)
    assert is_behind(pair.second), "it hears nothing new"
    assert is_behind(pair.first), "what it says does not stay"
    pair.minutes(1)
    assert not is_behind(pair.second) and not is_behind(pair.first)


def test_a_row_that_is_deleted_again_and_again_is_no_word(pair: Pair) -> None:
    pair.minutes(1)
    pair.minutes(2, attack=lambda: pair.first.sql("DELETE FROM log_server"))
    assert is_behind(pair.first) and is_behind(pair.second)


def test_lines_that_were_promised_and_do_not_come_leave_the_other_behind(pair: Pair) -> None:
    pair.minutes(1)
    pair.write(pair.first)
    lane = pair.first.rows("SELECT lane FROM log_outbox")[0][0]
    pair.first.sql("CREATE TABLE hidden AS SELECT * FROM log_outbox")
    pair.first.sql("DELETE FROM log_outbox")
    pair.minutes(2)
    assert is_behind(pair.second)
    pair.first.sql(
        "INSERT INTO log_outbox OVERRIDING SYSTEM VALUE SELECT * FROM hidden WHERE lane = :lane", lane=lane
    )
    pair.minutes(1)
    assert not is_behind(pair.second)


def test_a_server_that_stops_says_so_and_nobody_waits_for_it(pair: Pair) -> None:
    pair.minutes(1)
    api.say(pair.first.system, left=True)
    pair.minutes(2, saying=(pair.second,))
    assert not is_behind(pair.second)


def test_who_starts_anew_over_a_folder_speaks_for_the_process_that_died(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path
) -> None:
    pair.minutes(1)
    pair.minutes(2, saying=(pair.second,))
    assert is_behind(pair.second), "it may live, and refuse, unheard"
    again = folder_of(make_system(pair.first.system.database), tmp_path, "a")
    pair.write(again)
    pair.minutes(1, saying=(pair.second, again))
    assert not is_behind(pair.second)


def test_a_server_that_starts_anew_waits_for_one_whose_words_it_never_saw(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path
) -> None:
    """Attack: delete the first server's word every few milliseconds from before the third one starts, let the row of
    what it revokes vanish, and cut it off: the third has never heard of it, and all that it can see is on time."""
    api.heartbeat(pair.first.system)
    pair.minutes(1)

    def hide() -> None:
        pair.first.sql("DELETE FROM log_server WHERE name = :name", name=mine(pair.first))
        pair.first.sql("DELETE FROM log_outbox WHERE lane LIKE :lane", lane=f"{mine(pair.first)}.%")

    hide()
    third = started(pair, make_system, tmp_path, "c")
    assert not is_behind(third)
    for _ in range(2):
        pair.minutes(1, attack=hide, saying=(pair.first, pair.second, third))
        is_behind(third)
    assert is_behind(third)
    assert api.behind(third.system).why == f"the server {mine(pair.first)} is not heard"
    pair.minutes(1, saying=(pair.first, pair.second, third))
    assert not is_behind(third)


def test_a_server_that_left_is_waited_for_by_nobody_who_starts_later(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path
) -> None:
    api.join(pair.first.system)
    api.say(pair.first.system, left=True)
    pair.second.settle()
    assert [one.data["server"] for one in pair.second.entries(kind="audit.ServerLeft")] == [mine(pair.first)]
    pair.first.sql("DELETE FROM log_server")
    third = started(pair, make_system, tmp_path, "c")
    pair.minutes(2, saying=(pair.second, third))
    assert not is_behind(third)


@pytest.mark.parametrize("told", ["by its row", "by its folder"])
def test_the_last_word_of_a_server_that_died_is_said_once_by_the_next_one(
    told: str, pair: Pair, make_system: Callable[[Database], System], tmp_path: Path
) -> None:
    api.join(pair.first.system)
    api.say(pair.first.system)
    if told == "by its row":  # a power cut took what the folder kept
        for path in (tmp_path / "a" / "lines").glob("lan_*"):
            path.unlink()
    else:  # somebody took the row
        pair.first.sql("DELETE FROM log_server")
        held = pair.first.system.part(LineMemory)
        assert isinstance(held, FileLines) and held._file is not None
        os.close(held._file)
    again = started(pair, make_system, tmp_path, "a")
    third = started(pair, make_system, tmp_path, "c")
    for _ in range(2):
        api.watch_lines(again.system)
        pair.minutes(1, saying=(pair.second, again, third))
    assert not is_behind(third)
    assert [one.data["server"] for one in pair.second.entries(kind="audit.ServerLeft")] == [mine(pair.first)]


def test_words_that_were_recorded_are_no_news(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path
) -> None:
    """Attack: record what the first server says, cut it off with a no of its that nobody has seen, and play one word
    after another to a server that starts then: each is newer than the last, and none was said since."""
    first, name = pair.first, mine(pair.first)
    api.join(first.system)
    words = []
    for _ in range(20):
        pair.clock.advance(5 * SECOND)
        for lab in (first, pair.second):
            api.say(lab.system)
            lab.settle()
        words += first.rows("SELECT said, seal FROM log_server WHERE name = :name", name=name)
    third = started(pair, make_system, tmp_path, "c")

    def play() -> None:
        said, seal = words.pop(0)
        first.sql(
            "UPDATE log_server SET said = :said, seal = :seal WHERE name = :name", said=said, seal=seal, name=name
        )

    pair.minutes(2, attack=play, saying=(pair.second, third))
    assert is_behind(third) and is_behind(pair.second)
    assert api.behind(third.system).why == f"the server {name} is not heard"
    pair.minutes(1, saying=(first, pair.second, third))
    assert not is_behind(third) and not is_behind(pair.second)


def test_a_server_over_a_copied_folder_speaks_for_nobody(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path
) -> None:
    """Attack: start a server over a copy of the state folder of one that lives, so that its last word is said for it;
    then cut it off."""
    first, name = pair.first, mine(pair.first)
    api.join(first.system)
    pair.minutes(1)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    copy = started(pair, make_system, tmp_path, "copy")
    third = started(pair, make_system, tmp_path, "d")
    for _ in range(2):
        api.watch_lines(copy.system)
        pair.minutes(1, saying=(first, pair.second, copy, third))
    assert not pair.second.entries(kind="audit.ServerLeft")

    def hide() -> None:
        first.sql("DELETE FROM log_server WHERE name = :name", name=name)
        first.sql("DELETE FROM log_outbox WHERE lane LIKE :lane", lane=f"{name}.%")

    pair.minutes(2, attack=hide, saying=(first, pair.second, copy, third))
    assert is_behind(third) and is_behind(copy)


def test_a_server_of_which_the_log_does_not_tell_does_not_serve(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: take its heartbeats away from its very start, so that no other server ever learns that it is there."""
    monkeypatch.setattr(leaving, "JOIN_S", 0.3)
    pair.first.sql(
        "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM log_outbox; RETURN NULL; END $$; "
        "CREATE CONSTRAINT TRIGGER away AFTER INSERT ON log_outbox DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION away()"
    )
    with pytest.raises(Unavailable) as refusal:
        api.join(pair.second.system)
    assert refusal.value.code == "audit.not_joined"


def test_the_ceremony_waits_for_no_server(pair: Pair) -> None:
    api.join(pair.first.system)
    pair.first.settle()
    api.accept_fork(pair.first.system, SYSTEM, "the first server's machine is gone")
    pair.minutes(2, saying=(pair.second,))
    assert not is_behind(pair.second)


def test_a_word_that_nobody_sealed_says_nothing_and_is_told(pair: Pair) -> None:
    pair.minutes(1)
    forged = "UPDATE log_server SET said = convert_to(replace(convert_from(said, 'UTF8'), 'false', 'true'), 'UTF8')"
    pair.minutes(2, attack=lambda: pair.first.sql(forged), saying=())
    assert is_behind(pair.second)


def test_a_server_that_is_silent_while_nobody_can_ask_is_missed_all_the_same(pair: Pair) -> None:
    """Attack: cut a server off, and lock what the others ask for most of every half minute: no tick of theirs needs
    the database, so this is no sleep."""
    pair.minutes(1)
    for _ in range(4):
        for _ in range(2):
            pair.clock.advance(11 * SECOND)
            waking.awake(pair.second.system)
        api.say(pair.second.system)
        api.behind(pair.second.system)
    assert is_behind(pair.second)


def test_a_machine_that_slept_misses_nobody_and_waits_for_a_word_that_was_said_since(pair: Pair) -> None:
    pair.minutes(1)
    pair.clock.advance(8 * HOUR)
    assert is_behind(pair.second) and is_behind(pair.first), "what the other refused meanwhile nobody knows yet"
    pair.minutes(1)
    assert not is_behind(pair.second) and not is_behind(pair.first)


def test_a_server_that_runs_in_slices_knows_nothing_of_the_others(pair: Pair) -> None:
    """Attack: stop one server after it said no, and let the other run for a moment every half minute: all of its time
    is sleep, so the first one's silence would never be a minute old."""
    pair.minutes(1)
    for _ in range(10):
        pair.clock.advance(21 * SECOND)
        api.say(pair.first.system)
        assert is_behind(pair.first)


def test_a_server_that_is_said_to_have_left_changes_nothing_more(pair: Pair) -> None:
    """Attack: have a living server declared gone, by another over its folder or by an operator: nobody waits for what
    it refuses, so it refuses nothing more, and allows nothing."""
    api.join(pair.first.system)
    pair.second.settle()
    leaving.end(pair.second.system, mine(pair.first))
    for lab in (pair.first, pair.second):  # whichever leads
        lab.settle()
    with pytest.raises(Unavailable) as refusal:
        pair.write(pair.first)
    assert refusal.value.code == "audit.server_left"
    with pytest.raises(Unavailable) as refusal, begin(pair.first.system) as unit:
        unit.stands = "It stands, and its line follows."  # as whoever says no does, before any row
        api.append(unit, Noted(number=2))
    assert "stands on this server alone until it has been started again" in refusal.value.message
    pair.write(pair.second)
    assert [one.data["server"] for one in pair.second.entries(kind="audit.ServerLeft")] == [mine(pair.first)]


def test_words_of_a_server_that_reads_another_log_are_no_words(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path, postgres_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Attack: give the servers a copy of the database each, and carry over nothing but what they say."""
    api.join(pair.first.system)
    api.say(pair.second.system, left=True)
    pair.minutes(1, saying=(pair.first,))
    pair.first.system.database.close()
    with cloned(postgres_url, "_split") as clone:
        shutil.copytree(tmp_path, tmp_path.with_name("elsewhere"), ignore=shutil.ignore_patterns("a", "b"))
        third = folder_of(make_system(clone), tmp_path.with_name("elsewhere"), "c")
        pair.clock.advance(11 * SECOND)
        api.join(third.system)

        def minutes(count: int) -> None:
            for _ in range(count * 12):
                pair.clock.advance(5 * SECOND)
                for lab in (pair.first, third):
                    lab.settle()
                    api.say(lab.system)  # with no line on its way, which the other would wait for
                carry(pair.first, third)
                carry(third, pair.first)
                api.behind(third.system)

        minutes(1)
        assert not is_behind(third), "so far the one log continues the other"
        pair.write(pair.first)  # what it says no to from here on, nobody else reads
        pair.first.settle()
        minutes(2)
        assert is_behind(third)
        assert api.behind(third.system).why == f"the server {mine(pair.first)} is not heard"
        assert f"the server {mine(pair.first)} reads another log, which this one does not continue" in caplog.text


def test_a_process_ticks_while_its_database_answers_nobody(pair: Pair) -> None:
    lab = pair.second
    ticking = api.Ticking(lab.system)
    ticking.start()
    with lab.system.database.engine.connect() as other:
        other.execute(text("LOCK TABLE log_head, log_server IN ACCESS EXCLUSIVE MODE"))
        pair.clock.advance(15 * SECOND)
        try:
            deadline = time.monotonic() + 30
            while (ticked := waking.of(lab.system).ticked) != pair.clock.monotonic() and time.monotonic() < deadline:
                threading.Event().wait(0.02)
            assert ticked == pair.clock.monotonic()
        finally:
            ticking.stop()


def test_a_server_that_owes_the_log_a_no_leaves_all_behind_until_it_is_told(pair: Pair) -> None:
    """Attack: lock one table, so that what is said no to at one server is committed, and heard elsewhere, never."""
    pair.minutes(1)
    kept = memory(pair.first.system)
    kept.owe(Owed(id="one", kind="identity.PersonFrozen", of="eve", data={}, at=pair.clock.now()))
    pair.minutes(2)
    assert is_behind(pair.second)
    assert api.behind(pair.first.system).why == "the log does not take what is owed to it"
    with read(pair.first.system) as unit:
        assert any("has been owed to the log for" in one for one in api.condition(unit).problems)
    kept.paid("one")
    pair.minutes(1)
    assert not is_behind(pair.second) and not is_behind(pair.first)
