"""Theft: ask for a run whose files escape their folder, or that starts a program of the host."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.runs import api as runs

CODE = "runs.bad_order"


def attack(ground: Ground, _prepared: object) -> Observed:
    thief = ground.act_as("eve").caller
    met = Observed()
    for command, name in (("python", "../../etc/cron.py"), ("/bin/sh", "main.py")):
        met = tried(
            ground,
            thief,
            f"a run of {command} with the file {name}",
            lambda unit, command=command, name=name: runs.submit(  # type: ignore[misc]
                unit,
                thief,
                model="model/wren",
                environment="sha256:" + "0" * 64,
                command=[command, name],
                code={name: "print(open('/etc/shadow').read())"},
                dataset="dataset/stdlib",
                parent=None,
                risk="low",
                egress_profile="none",
            ),
        )
        if met.code != CODE:
            break
    return met


SCENARIO = Scenario(
    id="host-paths",
    title="Ask for a run that reaches into the host",
    techniques=("T1611", "AML.T0105", "catalogue 18, 19"),
    people=("eve",),
    steps=("Eve submits a run with a file '../../etc/cron.py'.", "Eve submits a run of /bin/sh."),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(), absent=(Trace("runs.RunSubmitted"),)),
    attack=attack,
    demo=True,
)
