"""The thefts that need a way out, against the real proxy, verdicts and ledger; only the sandbox around them is absent.

The demo plays the same code inside the real sandbox. Here it runs as a process of this test whose one socket is that
of the way, and the listed mirror is a sink on loopback.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.egress.outside import Sink, certificate
from tests.egress.world import World, entry, lab_text
from weighthouse.assurance import api
from weighthouse.assurance.api import attacks
from weighthouse.assurance.model import Outcome
from weighthouse.assurance.ports import Actor, Ground, RunOutcome, not_here
from weighthouse.core.clock import ManualClock, Millis
from weighthouse.core.database import Database
from weighthouse.core.work import System
from weighthouse.egress import api as egress
from weighthouse.egress.rules.hosts import Authority

MARK = "ATTACK "
THEFTS = ("unknown-host", "address-literal", "domain-fronting", "slow-drip")


class WayGround:
    """A ground that offers runs a way out and nothing else. `whole` replaces the size of what is to be stolen."""

    def __init__(self, world: World, mirror: Sink) -> None:
        self.world, self.mirror, self.whole = world, mirror, 4194304
        self.count = 0

    @property
    def system(self) -> System:
        return self.world.system

    def submit_attack_run(self, code: str, wall_clock_s: int = 600) -> RunOutcome:
        self.count += 1
        way = self.world.open(f"run_{self.count}", profile="mirror")
        code = code.replace("/egress/socket", str(way.socket)).replace("4194304", str(self.whole))
        code = code.replace("mirror.lab.internal:8443", f"mirror.lab.internal:{self.mirror.port}")
        done = threading.Event()

        def settle() -> None:
            while egress.settle(self.system, way) and not done.wait(0.05):
                pass

        settling = threading.Thread(target=settle)
        settling.start()
        ran = subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=120
        )
        done.set()
        settling.join()
        egress.close_way(self.system, way, "the run ended")
        said = [json.loads(line[len(MARK) :]) for line in ran.stdout.splitlines() if line.startswith(MARK)]
        return RunOutcome(run=f"run_{self.count}", exit_status=ran.returncode, reports=tuple(said))

    def act_as(self, person: str) -> Actor:
        not_here("people")

    def raw_sql(self, statement: str, **values: str | int | bytes | None) -> int:
        not_here("a database to edit")

    def later(self, by: Millis) -> None:
        not_here("a moved clock")

    def copy(self) -> AbstractContextManager[Ground]:
        not_here("a copy")

    def settle(self) -> None:
        pass


@pytest.fixture
def ways(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[WayGround]:
    mirror = Sink(certificate(tmp_path))
    with tempfile.TemporaryDirectory(prefix="wh-") as short:
        world = World(database, clock, tmp_path, Path(short))
        text = lab_text([entry("mirror.lab.internal", mirror.port)]).replace("\n  out:\n", "\n  mirror:\n")
        world.publish(text)
        yield WayGround(world, mirror)
        world.close()
    mirror.close()


def play(ways: WayGround, theft: str) -> Outcome:
    scenario = next(one for one in api.catalogue() if one.id == theft)
    alone = msgspec.structs.replace(
        scenario, people=(), prepare=lambda _: "", cleanup=lambda *_: None, on="live"
    )  # this whole ground is thrown away
    return attacks.play(ways.system, alone, ways)


@pytest.mark.parametrize("theft", THEFTS)
def test_the_theft_is_stopped_and_the_log_says_so_once(ways: WayGround, theft: str) -> None:
    outcome = play(ways, theft)
    assert outcome.status == "BLOCKED", outcome.reason
    assert ways.mirror.received <= 32 * 1024


def everything_listed(patch: pytest.MonkeyPatch, _ways: WayGround) -> None:
    patch.setattr("weighthouse.egress.api.verdicts._listed", lambda *_: "")


def addresses_allowed(patch: pytest.MonkeyPatch, _ways: WayGround) -> None:
    def lax(text: str, port: int) -> Authority:
        host, _, found = text.partition(":")
        return Authority(host, int(found or port))

    patch.setattr("weighthouse.egress.api.verdicts.read_authority", lax)


def inner_name_ignored(patch: pytest.MonkeyPatch, _ways: WayGround) -> None:
    patch.setattr("weighthouse.egress.api.verdicts._inner", lambda *_: True)


def no_caps(patch: pytest.MonkeyPatch, ways: WayGround) -> None:
    ways.whole = 64 * 1024
    patch.setattr("weighthouse.egress.rules.budgets.left", lambda *_: 10**9)
    patch.setattr("weighthouse.egress.rules.budgets.rate", lambda _lease: 10**6)


@pytest.mark.parametrize(
    ("theft", "weaken"),
    [
        ("unknown-host", everything_listed),
        ("address-literal", addresses_allowed),
        ("domain-fronting", inner_name_ignored),
        ("slow-drip", no_caps),
    ],
)
def test_without_the_guard_the_scenario_says_missed(
    ways: WayGround, monkeypatch: pytest.MonkeyPatch, theft: str, weaken: Callable[[Any, WayGround], None]
) -> None:
    weaken(monkeypatch, ways)
    outcome = play(ways, theft)
    assert outcome.status == "MISSED", outcome.reason
