"""Theft: take memory of the kernel that is counted for nobody, by locks of files, from beside other people's runs."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ran
from weighthouse.audit import api as audit
from weighthouse.core.work import read

CODE = "runs.too_many_locks"
# More than a run may hold, and no more: two megabytes of it are enough to be told apart, and harm nobody.
LOCKS = """
import fcntl, json, os, struct, time
def report(**found): print("ATTACK " + json.dumps(found), flush=True)
own = "gvisor" in os.uname().release
for file in range(0 if own else 40):
    held = os.open(f"/tmp/locked{file}", os.O_RDWR | os.O_CREAT, 0o600)
    for at in range(250, 0, -1):
        fcntl.fcntl(held, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 4 * at, 1, 0))
report(own_kernel=own)
time.sleep(0 if own else 20)
"""


def attack(ground: Ground, _grant: str) -> Observed:
    outcome = ground.submit_attack_run(LOCKS)
    if ran(outcome)["own_kernel"]:
        not_here("a run that shares the host's kernel")
    if outcome.exit_status == 0:
        return Observed(loot="memory of the kernel that nobody counts, for as long as the run likes")
    with read(ground.system) as unit:
        found = audit.entries(unit, kind="runs.RunFailed", subject=outcome.run, newest_first=True, limit=1)
    code = str(found[0].data.get("code", "")) if found else ""
    return Observed(code=code, message=f"The run was ended with exit status {outcome.exit_status}.")


SCENARIO = Scenario(
    id="endless-locks",
    title="Take the machine's memory by locks of files that no control group counts",
    techniques=("T1499.001", "T1499.003"),
    people=("eve",),
    steps=("A run takes ten thousand locks of single bytes, in files of its own, and holds them.",),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(Trace("runs.RunFailed"),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
)
