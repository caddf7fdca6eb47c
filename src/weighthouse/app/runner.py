"""The embedded runner and what it needs: the gates of the runs, the judge of the proxies, folders and short paths."""

from __future__ import annotations

from fastapi import FastAPI

from weighthouse.app.gates import Gates
from weighthouse.app.home import Home
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import System, begin
from weighthouse.egress import api as egress
from weighthouse.egress.adapters.judge_server import JudgeServer
from weighthouse.egress.ports import Question
from weighthouse.runs import api as runs
from weighthouse.runs.jobs import Runner
from weighthouse.runs.routes.broker import Broker
from weighthouse.weights.adapters.lending import LenderProcesses
from weighthouse.weights.ports import Lending


class Runs:
    """Starts gates, judge and runner in this order, and stops them in the other."""

    def __init__(self, system: System, home: Home, application: FastAPI) -> None:
        home.make_sockets()
        judge = home.sockets / "judge"

        def told(run: str, process: int, user: int) -> None:
            with begin(system, SYSTEM) as unit:
                runs.note_foreign_peer(unit, run, process, user)

        self._lending = LenderProcesses(home.root)
        system.bind(Lending, self._lending)
        self._gates = Gates(Broker(application), told)

        def verdict(question: Question) -> bool:
            return egress.answer(system, question)

        self._judge = JudgeServer(judge, verdict)
        self._runner = Runner(system, folder=home.runs, sockets=home.sockets / "w", judge=judge, gates=self._gates)

    def start(self) -> Runs:
        self._lending.remove_left()  # the lock of the state folder is ours, so no other server of it shows any
        self._gates.start()
        self._judge.start()
        self._runner.start()
        return self

    def stop(self) -> None:
        self._runner.stop()
        self._judge.stop()
        self._gates.stop()
