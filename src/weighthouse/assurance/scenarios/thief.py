"""The moment of theft, and the log as a thief cannot avoid it. Guards observations from being written by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from weighthouse.assurance.model import Observed
from weighthouse.assurance.ports import Ground, RunOutcome, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.keys import api as keys
from weighthouse.policy import api as policy

NOT_YET, PATIENCE_S = frozenset({"access.refusals_behind"}), 30.0
"""Refusals that say nothing of the act, only that the server cannot answer yet; and how long a thief asks again."""


def tried(ground: Ground, caller: Caller | None, what: str, act: Callable[[Unit], object]) -> Observed:
    """Try one act in a unit of its own. A refusal is what was observed; success is `what` as loot.

    A server that was too busy to know what it must refuse says so, and a thief tries again, as anybody would.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with begin(ground.system, caller) as unit:
                act(unit)
        except WeighthouseError as refusal:
            if refusal.code in NOT_YET and time.monotonic() < until:
                time.sleep(0.2)
                continue
            return Observed(code=refusal.code, message=refusal.message)
        return Observed(loot=what)


def published(ground: Ground, text: str, what: str) -> Observed:
    """Publish a policy text that has its approvals. A refusal is what was observed; a text in force is loot."""
    try:
        honest.publish_approved(ground, text)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot=what)


def started(ground: Ground, what: str) -> Observed:
    """Start a server over what the thief left in its folder. A refusal is what was observed; success is loot."""
    try:
        ground.start_anew()
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot=what)


def account_of(unit: Unit, person: str) -> str:
    """Return the account that policy gives a person, as what they prove carries it."""
    return min(policy.accounts_of(policy.current(unit).lab, person), default="")


def run_of(ground: Ground, person: str, grant: str, **attributes: str) -> identity.Credential:
    """Return what a run of `person` presents at the broker, with the facts the control plane wrote down about it."""
    run = new_id("run")
    with begin(ground.system) as unit:
        facts = {"person": person, "account": account_of(unit, person), "grant": grant, "sandbox": "bubblewrap"}
        facts.update(attributes)
        token = identity.issue_workload(unit, run=run, attributes=facts, expires=unit.now + 5 * MINUTE)
    return identity.Credential(kind="workload", value=token, proof=run, url="/workload/v1/loads")


def ask_for_keys(ground: Ground, credential: identity.Credential) -> Observed:
    """Have a run ask for a data key of Tern, past the registry, at the room that releases keys."""
    with begin(ground.system) as unit:
        run = identity.authenticate(unit, credential)
    wanted = (keys.Wrapped("model/tern", 1, b"ciphertext"), {"model": "model/tern", "version": new_id("ver")})
    return tried(
        ground,
        run,
        "a data key of Tern",
        lambda unit: keys.unwrap(unit, run, resource="model/tern", items=[wanted], recipient=b"\x09" + bytes(31)),
    )


def ran(outcome: RunOutcome) -> dict[str, Any]:
    """Return what the attack code reported from inside its sandbox; a run that reported nothing shows nothing."""
    if not outcome.reports:
        not_here(f"a run whose code could start (exit status {outcome.exit_status})")
    return outcome.reports[-1]


def appeared(ground: Ground, kind: str, since: int, going: Callable[[], bool], within_s: float = 45) -> bool:
    """Wait, while the attack is `going`, for a line of this kind at `since` or later; return whether there is one."""
    deadline = time.monotonic() + within_s
    while going() and time.monotonic() < deadline:
        with read(ground.system) as unit:
            newest = audit.entries(unit, kind=kind, newest_first=True, limit=1)
        if newest and newest[0].index >= since:
            return True
        time.sleep(0.02)
    return False


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
