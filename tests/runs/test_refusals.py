"""A run that keeps asking for what it may not have leaves so many lines, one that counts them, and is ended."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.app.gates import Gates
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.runs.routes.broker import Broker
from weighthouse.runs.rules.refusals import Refusals

MOST, ASKERS = 12, 6
# Six threads, as reviewers did it: 757 lines in fifteen seconds, and nothing that ended it.
FLOOD = """
import threading, time
from weighthouse_sdk.workload import Workload
def ask():
    way = Workload()
    while True:
        try: way.call("POST", "/workload/v1/saves", {"model": "model/tern", "parent": None, "shards": 1})
        except Exception: pass
print("going", flush=True)
for _ in range(6): threading.Thread(target=ask, daemon=True).start()
time.sleep(600)
"""


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    made = RunsWorld(database, clock, tmp_path, short, **{"runs.max_refusals": MOST}).start()
    yield made
    made.close()


def test_a_run_that_floods_the_log_with_refusals_is_ended_and_summed_up_in_one_line(world: RunsWorld) -> None:
    world.grant("ada", "wren-train", WREN)
    run = world.submit(FLOOD)
    ended = world.until(run)
    assert (ended.state, ended.reason) == ("failed", "runs.too_many_refusals")
    named = [fact for fact in world.facts("access.Denied") if fact.get("run") == run.id or "tern" in str(fact)]
    assert MOST <= len(named) < MOST + ASKERS  # those that were being judged when the last one was answered
    (line,) = world.facts("runs.RefusedOften")
    assert (line["run"], line["code"]) == (run.id, "runs.too_many_refusals") and line["refused"] >= len(named)
    assert [fact["code"] for fact in world.facts("runs.RunFailed")] == ["runs.too_many_refusals"]


def test_a_run_that_is_refused_now_and_then_goes_on_and_is_not_summed_up(world: RunsWorld) -> None:
    world.grant("ada", "wren-train", WREN)
    once = FLOOD.replace("    while True:", f"    for _ in range({MOST - 1}):").replace("range(6)", "range(1)")
    ended = world.until(world.submit(once.replace("time.sleep(600)", "time.sleep(3)")))
    assert ended.state == "succeeded" and world.facts("runs.RefusedOften") == []
    assert len(world.facts("access.Denied")) == MOST - 1


def test_whoever_was_refused_too_often_is_asked_about_nowhere_any_more(short: Path) -> None:
    asked = []

    async def refuse(scope: object, receive: object, send: object) -> None:
        asked.append(scope)
        assert callable(send)
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    gates = Gates(Broker(refuse), lambda *_: None).start()
    try:
        gate, other = gates.open("run_one", short / "one", 2), gates.open("run_two", short / "two", 2)
        answers = []
        for each in (gate, gate, gate, gate, other):
            each.expect([os.getpid()])
            with socket.socket(socket.AF_UNIX) as way:
                way.connect(str(each.path))
                way.sendall(b"POST /workload/v1/token HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n{}")
                answers.append(way.recv(65536))
        assert [int(one.split()[1]) for one in answers] == [403, 403, 429, 429, 403] and len(asked) == 3
        assert json.loads(answers[2].split(b"\r\n\r\n")[1])["code"] == "runs.too_many_refusals"
        assert (gate.refusals.count, other.refusals.count) == (4, 1)
    finally:
        gates.stop()


@pytest.mark.parametrize(("status", "counts"), [(200, 0), (403, 1), (422, 1), (429, 1), (500, 1), (503, 0)])
def test_what_the_server_lacks_itself_is_no_refusal(status: int, counts: int) -> None:
    refusals = Refusals(2)
    refusals.answered(status)
    assert refusals.count == counts and not refusals.spent


def test_who_is_told_when_to_come_again_was_not_refused(short: Path) -> None:
    async def busy(scope: object, receive: object, send: object) -> None:
        assert callable(send)
        await send({"type": "http.response.start", "status": 409, "headers": [(b"Retry-After", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    gates = Gates(Broker(busy), lambda *_: None).start()
    try:
        gate = gates.open("run_one", short / "one", 2)
        gate.expect([os.getpid()])
        for _ in range(4):
            with socket.socket(socket.AF_UNIX) as way:
                way.connect(str(gate.path))
                way.sendall(b"POST /workload/v1/token HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n{}")
                assert way.recv(65536).split()[1] == b"409"
        assert gate.refusals.count == 0
    finally:
        gates.stop()


# A rank is a process that saves its own part, and all of them save at once, again and again.
RANKS = """
import multiprocessing, os
import numpy
from weighthouse_sdk.workload import Workload
RANKS, STEPS = 24, 3
def rank(number, barrier, saved):
    for step in range(STEPS):
        barrier.wait()
        Workload().save(os.environ["WEIGHTHOUSE_MODEL"], {"part": numpy.full(1 << 12, number, dtype="f4")})
        with saved.get_lock(): saved.value += 1
fork = multiprocessing.get_context("fork")
barrier, saved = fork.Barrier(RANKS), fork.Value("i", 0)
ranks = [fork.Process(target=rank, args=(number, barrier, saved)) for number in range(RANKS)]
for one in ranks: one.start()
for one in ranks: one.join()
print("saved", saved.value, flush=True)
"""


def test_ranks_that_save_at_a_barrier_wait_for_each_other_and_are_not_refused(world: RunsWorld) -> None:
    world.grant("ada", "wren-train", WREN)
    run = world.submit(RANKS, wall_clock=600_000)
    ended = world.until(run, seconds=300)
    assert (ended.state, ended.reason) == ("succeeded", ""), world.output(run)
    assert world.output(run, "out") == ["saved 72"] and len(world.facts("weights.CheckpointSealed")) == 72
    assert world.facts("runs.RefusedOften") == []
