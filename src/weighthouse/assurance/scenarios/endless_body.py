"""Theft: have the server itself killed for want of memory, by requests that are begun and never ended."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ran
from weighthouse.audit import api as audit
from weighthouse.core.work import read

CODE = "runs.too_many_refusals"
LIMIT_MIB = 8
SOURCE = f"""
import json, select, socket, time
def report(**found): print("ATTACK " + json.dumps(found), flush=True)
head = (b"POST /workload/v1/saves/sav_1/commit HTTP/1.1\\r\\nHost: control.weighthouse\\r\\n"
        b"Content-Type: application/json\\r\\nContent-Length: 1048576\\r\\n\\r\\n")
held, met, end = [], "nothing yet", time.time() + 60
report(held=0, met=met)
def answered(way, wait=0): return bool(select.select([way], [], [], wait)[0])
while time.time() < end and len(held) <= {LIMIT_MIB}:
    way = socket.socket(socket.AF_UNIX); way.settimeout(2)
    try:
        way.connect("/egress/socket"); way.sendall(head + b"{{")
        if answered(way, 0.05): met = way.recv(999).decode(errors="replace")[-300:]; way.close(); continue
        way.sendall(bytes((1 << 20) - 2)); held.append(way)
    except OSError as error: met = str(error)
    if len(held) > {LIMIT_MIB}: time.sleep(2)  # an answer may be on its way
    held = [one for one in held if not answered(one)]
    report(held=len(held), met=met)
"""


def attack(ground: Ground, _grant: str) -> Observed:
    outcome = ground.submit_attack_run(SOURCE)
    report = ran(outcome)
    most = max(int(one["held"]) for one in outcome.reports)
    if most > LIMIT_MIB:
        return Observed(loot=f"{most} MiB of the server's memory, and as much again for the asking")
    with read(ground.system) as unit:
        ends = audit.entries(unit, kind="runs.RefusedOften", subject=outcome.run, limit=2)
    code = str(ends[0].data["code"]) if len(ends) == 1 else ""
    return Observed(code=code, message=f"{most} MiB were held; the code inside met: {report['met']}"[:300])


SCENARIO = Scenario(
    id="endless-body",
    title="Fill the server's memory with requests that never end",
    techniques=("T1499.003", "T1499.004", "CWE-400"),
    people=("eve",),
    steps=("A run begins one commit after the other, and sends each but for its last byte.",),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(Trace("runs.RefusedOften"),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
)
