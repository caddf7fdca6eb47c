"""Theft: fill the server's disk from inside a run, through files that no walk over its folder can see."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ran
from weighthouse.audit import api as audit
from weighthouse.core.work import read

CODE = "runs.volume_full"
FLOOD = """
import json, os, time
def report(**found): print("ATTACK " + json.dumps(found), flush=True)
report(taken=0, met="nothing yet")
os.chdir("/out")
for _ in range(60): os.mkdir("d"); os.chdir("d")
taken, step, met, held = 0, 16 << 20, "nothing", []
while taken <= LIMIT and step >= 65536 and len(held) < 64:
    held.append(os.open("x", os.O_CREAT | os.O_RDWR)); os.unlink("x"); at = 0
    try:
        while taken <= LIMIT:
            os.posix_fallocate(held[-1], at, step); at += step; taken += step
    except OSError as error:
        met, step = str(error), step // 2
report(taken=taken, met=met)
time.sleep(2)
"""


def attack(ground: Ground, _grant: str) -> Observed:
    limit = ground.system.settings.integer("runs.out_mib") << 20
    outcome = ground.submit_attack_run(FLOOD.replace("LIMIT", str(limit)))
    report = ran(outcome)
    if int(report["taken"]) > limit:
        return Observed(loot="more of the server's disk than a run may have")
    with read(ground.system) as unit:
        found = audit.entries(unit, kind="runs.VolumeFilled", subject=outcome.run, newest_first=True, limit=1)
    code = str(found[0].data.get("code", "")) if found else ""
    return Observed(code=code, message=f"The code inside met: {str(report['met'])[:200]}")


SCENARIO = Scenario(
    id="disk-flood",
    title="Fill the server's disk through files without a name",
    techniques=("T1499.001", "T1561", "catalogue 20"),
    people=("eve",),
    steps=("A run makes folders 60 deep, and reserves room in files that it has unlinked, until it has no more.",),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(Trace("runs.VolumeFilled"),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
)
