"""Theft: bury what is done under refusals, and fill the log that has to be kept for ever."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ran
from weighthouse.audit import api as audit
from weighthouse.core.work import read

CODE = "runs.too_many_refusals"
ASKERS = 6
SOURCE = f"""
import json, threading, time
from weighthouse_sdk.workload import Workload
print("ATTACK " + json.dumps({{"met": "nothing yet"}}), flush=True)
asked, end = [0], time.time() + 40
body = {{"model": "model/tern", "parent": None, "shards": 1}}
def ask():
    way = Workload()
    while time.time() < end and asked[0] < 600:
        asked[0] += 1
        try: way.call("POST", "/workload/v1/saves", body)
        except Exception: pass
askers = [threading.Thread(target=ask) for _ in range({ASKERS})]
for one in askers: one.start()
for one in askers: one.join()
"""


def attack(ground: Ground, _grant: str) -> Observed:
    most = ground.system.settings.integer("runs.max_refusals") + ASKERS
    with read(ground.system) as unit:
        since = audit.head(unit).size
    outcome = ground.submit_attack_run(SOURCE)
    ran(outcome)
    with read(ground.system) as unit:
        named = [one for one in audit.entries(unit, kind="access.Denied", limit=100_000) if one.index >= since]
        ends = audit.entries(unit, kind="runs.RefusedOften", subject=outcome.run, limit=2)
    if len(named) > most:
        return Observed(loot=f"{len(named)} lines of a log that is kept for ever")
    code = str(ends[0].data["code"]) if len(ends) == 1 else ""
    return Observed(code=code, message=f"{len(named)} refusals were named, then the run was ended.")


SCENARIO = Scenario(
    id="log-flood",
    title="Fill the log with refusals, from inside a run",
    techniques=("T1499.003", "T1562.006", "T1070"),
    people=("eve",),
    steps=("A run asks six at a time to save over a model that it has no access to, six hundred times.",),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(Trace("runs.RefusedOften"),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
)
