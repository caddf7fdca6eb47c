"""Theft: have a listed name lead to the metadata service, inside an address that looks like the internet's."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin, read
from weighthouse.egress import api as egress
from weighthouse.policy import api as policy

CODE = "egress.leads_inside"
HOST, PORT = "mirror.lab.internal", 8443
LINK = re.compile(r"        kind: private-link\n        address: [0-9a-f.:]+\n")
NAT64, SIX_TO_FOUR = "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"


class HostileNames:
    """The proxy of the ground, on a network whose name server the thief has taken over."""

    def __init__(self, proxy: egress.Proxy) -> None:
        self._proxy = proxy

    @property
    def digest(self) -> str:
        return self._proxy.digest

    def resolve(self, _host: str, _port: int) -> tuple[str, ...]:
        return (NAT64, SIX_TO_FOUR)

    def start(self, spec: egress.ProxySpec) -> egress.ProxyHandle:
        return self._proxy.start(spec)


def prepare(ground: Ground) -> None:
    with read(ground.system) as unit:
        text, found = LINK.subn("        kind: internet\n", policy.current_text(unit))
    if found != 1:
        not_here("the example lab's mirror")
    honest.publish(ground, text)
    ground.system.bind(egress.Proxy, HostileNames(ground.system.part(egress.Proxy)))


def attack(ground: Ground, _prepared: None) -> Observed:
    run = new_id("run")
    with tempfile.TemporaryDirectory(prefix="wh-") as short:
        folder = Path(short)
        way = egress.open_way(
            ground.system, run=run, profile="mirror", model="model/wren", person="eve", folder=folder,
            judge=folder / "judge", broker=folder / "broker",
        )  # fmt: skip
        try:
            with begin(ground.system) as unit:
                said = egress.verdict(unit, run, "mirror", HOST, PORT)
        finally:
            egress.close_way(ground.system, way, "the attack ended")
    return (
        Observed(loot="a way to 169.254.169.254") if said.allowed else Observed(code=said.code, message=said.reason)
    )


SCENARIO = Scenario(
    id="embedded-address",
    title="Lead a listed name to the metadata service, inside NAT64 and 6to4",
    techniques=("T1552.005", "T1557", "T1090"),
    people=("eve", "dee", "chi", "gil", "hana"),
    steps=(
        "On a copy, the mirror is listed as a host of the internet.",
        f"The thief's name server answers {NAT64} and {SIX_TO_FOUR}: both carry 169.254.169.254.",
        "A run's way is opened, and the run asks for the mirror.",
    ),
    expected=Expected(status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.Refused", {"code": CODE}),)),
    prepare=prepare,
    attack=attack,
    on="copy",
)
