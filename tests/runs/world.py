"""A control plane that really executes runs, for tests: Envoy, verdicts, the broker on its socket, the runner."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.weights.world import WREN, World
from weighthouse.app import declared
from weighthouse.app.gates import Gates
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.settings import Settings
from weighthouse.core.work import begin, read
from weighthouse.egress import api as egress
from weighthouse.egress.adapters.envoy import Envoy
from weighthouse.egress.adapters.judge_server import JudgeServer
from weighthouse.egress.ports import Proxy
from weighthouse.runs import api as runs
from weighthouse.runs.adapters.ground import ThisMachine
from weighthouse.runs.jobs import Runner, followers
from weighthouse.runs.ports import Ground
from weighthouse.runs.routes import workload
from weighthouse.runs.routes.broker import Broker
from weighthouse.web import api as web
from weighthouse.weights.adapters.lending import LenderProcesses
from weighthouse.weights.ports import Lending
from weighthouse.weights.routes import workload as weights_workload

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_stdlib"


class RunsWorld(World):
    """`start` brings up everything a run touches; `short` is a folder with a short path for sockets."""

    def __init__(
        self, database: Database, clock: ManualClock, state: Path, short: Path, text: str | None = None, **flags: Any
    ) -> None:
        super().__init__(database, clock, state, text)
        chosen = {"state": state, "mode": "development", "runs.sandbox": "bubblewrap", **flags}
        self.system.settings = Settings(declared.settings(), flags=chosen)
        self.system.bind(Proxy, Envoy())
        self.system.bind(Lending, LenderProcesses(short))
        self.system.bind(Ground, ThisMachine(self.system.settings))
        self.judge = JudgeServer(short / "judge", lambda question: egress.answer(self.system, question))
        application = web.build(
            self.system,
            [workload.router, weights_workload.router],
            origin="http://127.0.0.1",
            hosts=["control.weighthouse"],
        )
        self.gates = Gates(Broker(application), self._told)
        self.runner = self.new_runner(short)

    def new_runner(self, short: Path) -> Runner:
        return Runner(
            self.system,
            folder=self.state / "runs",
            sockets=short,
            judge=short / "judge",
            gates=self.gates,
        )

    def start(self) -> RunsWorld:
        self.judge.start()
        self.gates.start()
        self.runner.start()
        return self

    def close(self) -> None:
        self.runner.stop()
        self.gates.stop()
        self.judge.stop()

    def _told(self, run: str, process: int, user: int) -> None:
        with begin(self.system, SYSTEM) as unit:
            runs.note_foreign_peer(unit, run, process, user)

    def submit(
        self,
        code: str | Mapping[str, str],
        *,
        person: str = "ada",
        model: str = WREN,
        parent: str | None = None,
        dataset: str = "dataset/stdlib",
        profile: str = "none",
        arguments: tuple[str, ...] = (),
        wall_clock: int = 120_000,
        caller: Caller | None = None,
    ) -> runs.Run:
        caller = caller or self.person(person)
        files = {"main.py": code} if isinstance(code, str) else dict(code)
        with begin(self.system, caller) as unit:
            return runs.submit(
                unit,
                caller,
                model=model,
                environment=runs.environments(unit)[0].digest,
                command=("python", next(iter(files)), *arguments),
                code=files,
                dataset=dataset,
                parent=parent,
                risk="high",
                egress_profile=profile,
                wall_clock=wall_clock,
            )

    def get(self, run: runs.Run, person: str = "ada") -> runs.Run:
        with read(self.system) as unit:
            return runs.get(unit, self.person(person), run.id)

    def output(self, run: runs.Run, stream: str | None = None) -> list[str]:
        with read(self.system) as unit:
            found = runs.logs(unit, self.person("ada"), run.id)
        return [line.text for line in found if stream is None or line.stream == stream]

    def until(self, run: runs.Run, *states: str, seconds: float = 90) -> runs.Run:
        """Wait until the run is in one of `states` (default: ended), following the log meanwhile as the app does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.follow()
            found = self.get(run)
            if found.state in states or (not states and found.state not in runs.OPEN):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{run.id} is still {found.state}: {self.output(run)}")

    def until_ended(self, run: runs.Run, person: str) -> runs.Run:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.get(run, person)
            if found.state not in runs.OPEN:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{run.id} is still {found.state}")

    def until_said(self, run: runs.Run, text: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(text in line for line in self.output(run)):
                return
            time.sleep(0.05)
        raise AssertionError(f"never said {text!r}: {self.output(run)}")

    def follow(self) -> None:
        for follower in followers:
            audit.pump(self.system, follower)

    def example(self) -> dict[str, str]:
        return {name: (EXAMPLE / name).read_text("utf-8") for name in ("train.py", "model.py")}
