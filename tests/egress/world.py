"""A lab with one way out, for tests: real log, real signed policy, real Envoy, real verdict server, real sinks."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.audit.support import bind_log
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import Clock
from weighthouse.core.database import Database
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System, begin, read
from weighthouse.egress import api as egress
from weighthouse.egress.adapters.envoy import Envoy
from weighthouse.egress.adapters.judge_server import JudgeServer
from weighthouse.egress.ports import Proxy
from weighthouse.policy import api as policy
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory

LAB = Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml"
FAR = "2099-12-31"


def entry(
    host: str, port: int, *, budget: str = "64KiB", address: str | None = "127.0.0.1", expires: str = FAR
) -> str:
    """One entry of a profile as the lab's configuration spells it."""
    kind = f"kind: private-link, address: {address}" if address else "kind: internet"
    return (
        f"      - {{host: {host}, port: {port}, owner: platform, reason: A test of the way out., "
        f'expires: "{expires}", budget: {budget}, {kind}}}\n'
    )


def lab_text(entries: Sequence[str], *, total: str = "1MiB") -> str:
    """The example lab with one egress profile `out` of these entries."""
    text = LAB.read_text("utf-8")
    profiles = "egress:\n  none: {name: None, budget: 0B, entries: []}\n"
    profiles += f"  out:\n    name: Out\n    budget: {total}\n    entries:\n" + "".join(entries)
    return re.sub(r"^egress:\n.*?(?=^committee:)", profiles + "\n", text, flags=re.DOTALL | re.MULTILINE)


class World:
    """One control plane with its verdict server; `open` gives a run its way."""

    def __init__(self, database: Database, clock: Clock, state: Path, short: Path, **flags: Any) -> None:
        settings = Settings(
            (*DECLARED, *audit.settings, *egress.settings), flags={"state": state, "mode": "development", **flags}
        )
        self.system = System(settings, clock, database)
        self.system.bind(Signers, MemorySigners(b"\x07" * 32))
        self.system.bind(PolicyMemory, FilePolicyMemory(state / "policy.memory"))
        self.system.bind(Proxy, Envoy())
        bind_log(self.system, state)
        self.short = short
        self.judge = JudgeServer(short / "judge", lambda question: egress.answer(self.system, question))
        self.judge.start()
        self.ways: list[egress.Way] = []
        self.feeders: list[egress.Feeder] = []

    def publish(self, text: str) -> None:
        with begin(self.system, SYSTEM) as unit:
            policy.store(unit, text, "lab.yaml")

    def open(
        self,
        run: str = "run_one",
        profile: str = "out",
        model: str = "model/tern",
        person: str = "eve",
        *,
        fed: bool = True,
    ) -> egress.Way:
        folder = self.short / run
        folder.mkdir(mode=0o700)
        way = egress.open_way(
            self.system, run=run, profile=profile, model=model, person=person, folder=folder,
            judge=self.short / "judge", broker=self.short / "broker",
        )  # fmt: skip
        self.ways.append(way)
        if fed:
            self.feeders.append(egress.Feeder(self.system, way))
            self.feeders[-1].start()
        return way

    def facts(self, kind: str) -> list[dict[str, Any]]:
        with read(self.system) as unit:
            return [audit.reveal(unit, found) for found in audit.entries(unit, kind=kind, limit=1000)]

    def close(self) -> None:
        for feeder in self.feeders:
            feeder.stop()
        for way in self.ways:
            way.handle.cut()
        self.judge.stop()


def day(offset: int, now: int) -> str:
    """A date `offset` days from `now` as the configuration spells it."""
    return (datetime.datetime.fromtimestamp(now / 1000, datetime.UTC) + datetime.timedelta(days=offset)).strftime(
        "%Y-%m-%d"
    )
