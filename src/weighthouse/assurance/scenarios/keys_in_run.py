"""Theft: print a data key, 32 bytes that no budget notices, and open the ciphertext with it at leisure."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ran

CODE = "weights.keys_in_run"
SOURCE = """
import array, base64, json
from weighthouse_sdk.checkpoint import Recipient, Tensor, parse_load
from weighthouse_sdk.errors import Refused
from weighthouse_sdk.workload import Workload
def report(**found): print("ATTACK " + json.dumps(found), flush=True)
way, mine = Workload(), Recipient()
plain = memoryview(array.array("f", [0.5] * 4096)).cast("B")
version = way.save("model/wren", {"embed": Tensor("F32", (4096,), plain)})["id"]
given = way.call("POST", "/workload/v1/loads", {"version": version})
if any(one["sealed"] for one in given["keys"]):
    report(met="a sealed key in the answer", key=given["keys"][0]["sealed"])
asked = {"version": version, "recipient": base64.b64encode(mine.public).decode()}
try:
    ticket = parse_load(way.call("POST", "/workload/v1/loads", asked))
    keys = [mine.open(sealed, place.aad()) for place, sealed in zip(ticket.bindings, ticket.sealed)]
    report(met="the keys", key=keys[0].hex())
except Refused as refusal:
    report(met=refusal.code)
"""


def attack(ground: Ground, _grant: str) -> Observed:
    outcome = ground.submit_attack_run(SOURCE)
    report = ran(outcome)
    if any(one.get("key") for one in outcome.reports):
        return Observed(loot="a data key of Wren, which opens its ciphertext for whoever has that")
    return Observed(code=str(report.get("met", "")), message=f"The code inside met: {report.get('met', 'nothing')}")


SCENARIO = Scenario(
    id="keys-in-run",
    title="Print a data key of Wren from inside a run, and open its ciphertext elsewhere",
    techniques=("T1555.006", "T1552.004", "T1048", "AML.T0035"),
    people=("eve",),
    steps=(
        "A run of Eve's saves a checkpoint of Wren, and looks for keys in what it is answered.",
        "It asks for the data keys again, sealed to a key pair of its own.",
        "What it opened with that it would print: one line of output, and no bytes on its way out.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="weights",
        code=CODE,
        traces=(Trace("weights.KeysInRunRefused", {"model": "model/wren", "person": "eve"}),),
    ),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
)
