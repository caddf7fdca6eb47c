"""The moment of theft, and the log as a thief cannot avoid it. Guards observations from being written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from weighthouse.assurance.model import Observed
from weighthouse.assurance.ports import Ground, RunOutcome, not_here
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit, begin, read


def tried(ground: Ground, caller: Caller | None, what: str, act: Callable[[Unit], object]) -> Observed:
    """Try one act in a unit of its own. A refusal is what was observed; success is `what` as loot."""
    try:
        with begin(ground.system, caller) as unit:
            act(unit)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot=what)


def ran(outcome: RunOutcome) -> dict[str, Any]:
    """Return what the attack code reported from inside its sandbox; a run that reported nothing shows nothing."""
    if not outcome.reports:
        not_here(f"a run whose code could start (exit status {outcome.exit_status})")
    return outcome.reports[-1]


def refused_by_egress(ground: Ground, outcome: RunOutcome, what: str, kind: str = "egress.Refused") -> Observed:
    """Return what a run met on its way out: the code that egress wrote down for it, if it was stopped."""
    report = ran(outcome)
    if report.get("got_out"):
        return Observed(loot=what)
    with read(ground.system) as unit:
        found = audit.entries(unit, kind=kind, subject=outcome.run, newest_first=True, limit=1)
    code = str(found[0].data.get("code", "egress.budget_spent")) if found else ""
    return Observed(code=code, message=f"The code inside met: {str(report.get('met', 'nothing'))[:200]}")


TUNNEL = """
import json, socket, ssl
def report(**found): print("ATTACK " + json.dumps(found), flush=True)
def tunnel(authority):
    way = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); way.settimeout(20); way.connect("/egress/socket")
    way.sendall(f"CONNECT {authority} HTTP/1.1\\r\\nHost: {authority}\\r\\n\\r\\n".encode())
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        part = way.recv(4096)
        if not part: break
        head += part
    return way, head.split(b"\\r\\n")[0].decode(errors="replace")
"""
"""The part that every attack on the way out shares: one CONNECT through the run's only socket."""


def knock(authority: str) -> str:
    """Return attack code that asks for one tunnel and says whether it was given."""
    return TUNNEL + (
        f"way, met = tunnel({json.dumps(authority)})\nreport(met=met, got_out=met.startswith('HTTP/1.1 200'))\n"
    )
