"""Before a server serves, each other one has answered it: no refusal of its is said to nobody."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.pairs import Pair, carry, cloned, folder_of, mine, started
from tests.audit.support import Lab
from weighthouse.audit import api
from weighthouse.audit.api import lanes, meeting
from weighthouse.core.clock import SECOND
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, read


class Living:
    """A server that goes on hearing, answering and sequencing in a thread, as one that serves does."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._stop = lab, threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def _go_on(self) -> None:
        while not self._stop.wait(0.05):
            api.behind(self._lab.system)
            api.answer(self._lab.system)
            api.sequence(self._lab.system)

    def __enter__(self) -> Living:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_a_server_serves_once_each_other_one_has_answered_it(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "MEET_S", 0.5)
    api.meet(pair.second.system)  # nobody else serves
    api.join(pair.first.system)
    api.say(pair.first.system)
    third = started(pair, make_system, tmp_path, "c")
    with pytest.raises(Unavailable) as refusal:
        api.meet(third.system)
    assert refusal.value.code == "audit.not_answered" and mine(pair.first) in str(refusal.value)
    monkeypatch.setattr(meeting, "MEET_S", 20)
    with Living(pair.first):
        api.meet(third.system)
    again = started(pair, make_system, tmp_path, "a")  # over the folder of the first, which died
    with Living(third):
        api.meet(again.system)
    with read(again.system) as unit:
        assert lanes.known(unit).serving() == {mine(third), mine(again)}


def test_servers_that_start_at_one_moment_answer_each_other(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "MEET_S", 20)
    labs = [started(pair, make_system, tmp_path, name) for name in ("c", "d")]
    failed: list[BaseException] = []

    def meets(lab: Lab) -> None:
        try:
            api.meet(lab.system)
            with Living(lab):
                time.sleep(1)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=meets, args=(lab,)) for lab in labs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_server_over_a_copy_of_the_database_of_which_nobody_hears_does_not_serve(
    pair: Pair, make_system: Callable[[Database], System], tmp_path: Path, postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Attack: copy the database while the second server is restarted, and give it the copy: what it refuses, the first
    never hears; with every word of the first carried over to it, for it to seem heard."""
    monkeypatch.setattr(meeting, "MEET_S", 1.0)
    first = pair.first
    api.join(first.system)
    api.say(pair.second.system, left=True)
    pair.minutes(1, saying=(first,))
    first.system.database.close()
    with cloned(postgres_url, "_fork") as clone:
        shutil.copytree(tmp_path, tmp_path.with_name("beside"), ignore=shutil.ignore_patterns("a", "b"))
        third = folder_of(make_system(clone), tmp_path.with_name("beside"), "c")
        pair.clock.advance(11 * SECOND)
        api.join(third.system)
        api.say(third.system)
        for both_ways in (False, True):
            if both_ways:
                carry(third, first)
                api.behind(first.system)
            api.say(first.system)
            carry(first, third)
            with pytest.raises(Unavailable) as refusal:
                api.meet(third.system)
            assert refusal.value.code == "audit.not_answered"
        pair.write(first)  # the logs go on separately
        for lab in (first, third):
            pair.clock.advance(11 * SECOND)
            pair.write(lab)
            lab.settle()
        api.say(first.system)
        carry(first, third)
        with pytest.raises(Unavailable) as refusal:
            api.meet(third.system)
        assert refusal.value.code == "audit.another_log", "nobody is told to forget the other"
