"""The embedded runner and what it needs: the broker's socket, the judge of the proxies, folders and short paths."""

from __future__ import annotations

from fastapi import FastAPI

from weighthouse.app.home import Home
from weighthouse.app.server import Served
from weighthouse.core.work import System
from weighthouse.egress import api as egress
from weighthouse.egress.adapters.judge_server import JudgeServer
from weighthouse.egress.ports import Question
from weighthouse.runs.jobs import Runner
from weighthouse.runs.routes.broker import Broker


class Runs:
    """Starts broker, judge and runner in this order, and stops them in the other."""

    def __init__(self, system: System, home: Home, application: FastAPI) -> None:
        home.make_sockets()
        broker, judge = home.sockets / "broker", home.sockets / "judge"
        self._broker = Served(Broker(application), unix=broker)

        def verdict(question: Question) -> bool:
            return egress.answer(system, question)

        self._judge = JudgeServer(judge, verdict)
        self._runner = Runner(system, folder=home.runs, sockets=home.sockets / "w", judge=judge, broker=broker)

    def start(self) -> Runs:
        self._broker.start()
        self._judge.start()
        self._runner.start()
        return self

    def stop(self) -> None:
        self._runner.stop()
        self._judge.stop()
        self._broker.stop()
