"""Followers: every entry once, in order, in one transaction with what is done about it; never a forged one."""

from __future__ import annotations

import threading

import pytest

from tests.audit.support import Lab, Noted, Told
from weighthouse.audit import api
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import Unit


class Seen:
    """A follower that keeps what it was handed."""

    def __init__(self, *kinds: str, name: str = "test") -> None:
        self.numbers: list[int] = []
        self.follower = api.Follower(name, frozenset(kinds), self.handle)

    def handle(self, unit: Unit, entry: api.Entry) -> None:
        self.numbers.append(entry.data.get("number", -1))


def test_every_entry_is_handled_once_and_in_order(any_lab: Lab) -> None:
    any_lab.many(450)
    seen = Seen()
    moved = [api.pump(any_lab.system, seen.follower) for _ in range(4)]
    assert moved == [200, 200, 50, 0]
    assert seen.numbers == list(range(450))
    any_lab.many(2)
    assert api.pump(any_lab.system, seen.follower) == 2


def test_other_kinds_are_passed_over_but_not_skipped_by_others(any_lab: Lab) -> None:
    any_lab.write(Noted(number=1), Told(person="ada", reason="why"), Noted(number=2))
    only, every = Seen("test.Noted"), Seen(name="other")
    assert api.pump(any_lab.system, only.follower) == api.pump(any_lab.system, every.follower) == 3
    assert (only.numbers, every.numbers) == ([1, 2], [1, -1, 2])


def test_what_a_follower_appends_commits_with_its_cursor_and_is_seen_later(any_lab: Lab) -> None:
    def answer(unit: Unit, entry: api.Entry) -> None:
        if entry.data["number"] < 3:
            api.append(unit, Noted(number=entry.data["number"] + 1))

    follower = api.Follower("chain", frozenset({"test.Noted"}), answer)
    any_lab.write(Noted(number=0))
    while api.pump(any_lab.system, follower):
        any_lab.settle()
    assert [entry.data["number"] for entry in any_lab.entries()] == [0, 1, 2, 3]


def test_a_failing_entry_stops_the_follower_there_and_repeats_nothing_before_it(any_lab: Lab) -> None:
    done: list[int] = []
    broken = {"yes": True}

    def handle(unit: Unit, entry: api.Entry) -> None:
        number = entry.data["number"]
        if number == 5 and broken["yes"]:
            raise RuntimeError("cannot")
        unit.after_commit(lambda: done.append(number))

    follower = api.Follower("fragile", frozenset(), handle)
    any_lab.many(8)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            api.pump(any_lab.system, follower)
    assert done == [0, 1, 2, 3, 4]
    broken["yes"] = False
    api.pump(any_lab.system, follower)
    assert done == list(range(8))


def test_two_pumps_of_one_follower_at_once_handle_nothing_twice(any_lab: Lab) -> None:
    any_lab.many(300)
    done: list[int] = []

    def handle(unit: Unit, entry: api.Entry) -> None:
        unit.after_commit(lambda: done.append(entry.data["number"]))

    follower = api.Follower("twin", frozenset(), handle)

    def run() -> None:
        while api.pump(any_lab.system, follower, 20):
            pass

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(300))


def test_a_row_inserted_behind_the_log_sets_off_no_follower(any_lab: Lab) -> None:
    """Whoever can write rows could otherwise have a role bound by inserting a GrantStarted."""
    any_lab.many(3)
    seen = Seen()
    api.pump(any_lab.system, seen.follower)
    leaf = any_lab.entries()[0].leaf
    any_lab.sql(
        "INSERT INTO log_entry (idx, at, kind, subject, leaf) VALUES (3, 1, 'access.GrantStarted', '', :leaf)",
        leaf=leaf,
    )
    assert api.pump(any_lab.system, seen.follower) == 0
    any_lab.sql("UPDATE log_head SET size = 4")
    with pytest.raises(Unavailable) as refused:
        api.pump(any_lab.system, seen.follower)
    assert refused.value.code == "audit.tampered"
    assert seen.numbers == [0, 1, 2]


def test_an_edited_row_stops_readers_and_followers_with_its_index(any_lab: Lab) -> None:
    any_lab.many(600)
    any_lab.rewrite_leaf(7, lambda leaf: leaf.replace(b'"number":7', b'"number":9'))
    with pytest.raises(Unavailable, match="entry 7 is not the one"):
        any_lab.entries()
    seen = Seen()
    with pytest.raises(Unavailable, match="entry 7 is not the one"):
        api.pump(any_lab.system, seen.follower)
    any_lab.rewrite_leaf(7, lambda leaf: leaf.replace(b'"number":9', b'"number":7'))
    any_lab.sql("DELETE FROM log_entry WHERE idx = 300")
    with pytest.raises(Unavailable, match="missing"):
        while api.pump(any_lab.system, seen.follower):
            pass
    with pytest.raises(Unavailable):
        any_lab.prove(300)


def test_a_kind_hidden_in_its_column_still_reaches_its_follower(any_lab: Lab) -> None:
    any_lab.many(2)
    any_lab.sql("UPDATE log_entry SET kind = 'test.Nothing' WHERE idx = 1")
    seen = Seen("test.Noted")
    api.pump(any_lab.system, seen.follower)
    assert seen.numbers == [0, 1]
    assert api.verify(any_lab.system).problems[0].index == 1


MOVES = {
    "to the end": "UPDATE log_follower SET next = (SELECT size FROM log_head)",
    "beyond the end": "UPDATE log_follower SET next = 99",
    "below the beginning": "UPDATE log_follower SET next = -1",
}


@pytest.mark.parametrize("move", MOVES)
def test_a_follower_that_somebody_moved_misses_nothing_and_it_is_on_record_once(any_lab: Lab, move: str) -> None:
    any_lab.many(2)
    seen = Seen("test.Noted")
    api.pump(any_lab.system, seen.follower)
    any_lab.many(2)
    any_lab.sql(MOVES[move])
    api.pump(any_lab.system, seen.follower)
    assert seen.numbers == [0, 1, 0, 1]
    any_lab.settle()
    any_lab.sql(MOVES[move])
    api.pump(any_lab.system, seen.follower)
    (line,) = any_lab.entries(kind="audit.CursorMoved")
    assert (line.subject, line.data["resumed"]) == ("test", 2)


def test_a_trigger_that_moves_every_cursor_silences_nobody(lab: Lab) -> None:
    seen = Seen("test.Noted")
    lab.sql(
        "CREATE TRIGGER silent AFTER UPDATE ON log_follower WHEN NEW.next < 1000 "
        "BEGIN UPDATE log_follower SET next = next + 1000 WHERE name = NEW.name; END"
    )
    for _ in range(3):
        lab.many(2)
        while api.pump(lab.system, seen.follower):
            pass
    assert seen.numbers == [0, 1] * 3
    assert len(lab.entries(kind="audit.CursorMoved")) == 1


def test_an_old_cursor_put_back_or_none_at_all_repeats_nothing_in_this_process(any_lab: Lab) -> None:
    seen = Seen("test.Noted")
    any_lab.many(1)
    api.pump(any_lab.system, seen.follower)
    old = any_lab.rows("SELECT next, seal FROM log_follower")[0]
    any_lab.many(2)
    api.pump(any_lab.system, seen.follower)
    any_lab.sql("UPDATE log_follower SET next = :n, seal = :s", n=old[0], s=old[1])
    api.pump(any_lab.system, seen.follower)
    any_lab.sql("DELETE FROM log_follower")
    api.pump(any_lab.system, seen.follower)
    assert seen.numbers == [0, 0, 1]


def test_a_cursor_of_another_follower_is_no_cursor_of_this_one(any_lab: Lab) -> None:
    any_lab.many(3)
    api.pump(any_lab.system, Seen(name="quick").follower)
    seen = Seen("test.Noted", name="slow")
    row = any_lab.rows("SELECT next, at, seal FROM log_follower")[0]
    any_lab.sql(
        "INSERT INTO log_follower (name, next, at, seal) VALUES ('slow', :n, :a, :s)", n=row[0], a=row[1], s=row[2]
    )
    api.pump(any_lab.system, seen.follower)
    assert seen.numbers == [0, 1, 2]
