"""Theft: reach another run's socket to the control plane, and speak in its name."""

from __future__ import annotations

import json
import subprocess
import sys

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.emptied_stop import start, state_of
from weighthouse.core.work import begin
from weighthouse.runs import api as runs

CODE = "runs.foreign_peer"
# A process of its own and of the server's own user, as a run of an ordinary user's server is.
SPEAK = """
import socket, sys
way = socket.socket(socket.AF_UNIX); way.settimeout(20); way.connect(sys.argv[1])
head = ["POST /workload/v1/token HTTP/1.1", "Host: control.weighthouse", "Content-Type: application/json"]
head += [f"X-Weighthouse-Run: {sys.argv[2]}", "Content-Length: 2", "Connection: close", "", "{}"]
way.sendall("\\r\\n".join(head).encode())
answer = b""
while more := way.recv(65536): answer += more
sys.stdout.write(answer.partition(b"\\r\\n\\r\\n")[2].decode())
"""


def attack(ground: Ground, _grant: str) -> Observed:
    with ground.executing():
        victim = start(ground)
        gate = ground.system.part(runs.Gates).path(victim)
        done = subprocess.run(
            [sys.executable, "-c", SPEAK, str(gate), victim], capture_output=True, check=False, timeout=60
        )
        eve = ground.act_as("eve").caller
        with begin(ground.system, eve) as unit:
            runs.stop(unit, eve, victim, "The exercise is over.")
        state_of(ground, victim, (), 30)
    said = json.loads(done.stdout.decode()) if done.stdout else {}
    if said.get("token"):
        return Observed(loot="the token of another run, and with it that run's keys")
    return Observed(
        code=str(said.get("code", "")), message=str(said.get("title", done.stderr[-200:].decode("utf-8", "replace")))
    )


SCENARIO = Scenario(
    id="impersonated-run",
    title="Speak to the control plane as another run",
    techniques=("T1550", "T1078", "T1559"),
    people=("eve",),
    steps=(
        "On a copy, a run works in the real sandbox.",
        "Another process of the same user reaches that run's socket and asks for its token, naming the run.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="runs",
        code=CODE,
        traces=(Trace("runs.ForeignPeer", {"code": CODE}),),
    ),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
    on="copy",
)
