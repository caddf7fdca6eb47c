"""The seven steps of the main job, each through the interfaces that people use: HTTP, signatures, runs, exports."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from weighthouse.app.demo.actor import Actor
from weighthouse.app.demo.stage import Stage
from weighthouse.app.demo.tell import Tell
from weighthouse_sdk.client import ProblemError

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "train_stdlib"
RUN_LIMIT_S = 120.0
FRESH_STEPS, CHILD_STEPS = 40, 120
RELEASING = frozenset({"run.submit", "weights.load", "weights.save", "weights.export"})
Answer = dict[str, Any]


def sign_in(stage: Stage, tell: Tell) -> Actor:
    """Step 1: a session after a risk check, bound to a key."""
    tell.step(1, "A researcher signs in, after a risk check, with a key of her own")
    ada = stage.actor("ada")
    me = ada.client.get("me")
    tell.line(
        f"ada's first sign-in here: the risk check demanded a second factor, and got it ({me['assurance']['method']})"
    )
    tell.held(me["assurance"]["level"] == 2, f"session {ada.session.session} is bound to her key ({me['binding']})")
    return ada


def ask(stage: Stage, tell: Tell, ada: Actor) -> str:
    """Step 2: the narrowest role that does the job, for a few hours, with a reason."""
    tell.step(2, "She searches, and asks for the narrowest role that does the job")
    found = ada.client.get("search", q="tern checkpoint")["items"]
    tell.held(
        any(one["resource"] == "model/tern" for one in found),
        f"search 'tern checkpoint' finds {found[0]['resource']}",
    )
    ranked = ada.client.get("advise", resource="model/tern", action="weights.save")["items"]
    for one in ranked:
        tell.line(f"role {one['entitlement']:<14} excess {one['excess']}: {one['why']}")
    tell.held(ranked[0]["entitlement"] == "tern-train", "the narrowest role comes first")
    body = {
        "entitlement": ranked[0]["entitlement"],
        "resource": "model/tern",
        "duration": 2 * 3_600_000,
        "reason": "Continue Tern on the standard library's sources for the loss study.",
    }
    request = str(ada.client.post("requests", body)["id"])
    tell.line(f"{request}: two hours of tern-train on model/tern, with a reason")
    return request


def approve(stage: Stage, tell: Tell, ada: Actor, request: str) -> str:
    """Steps 3 and 4: two other people, each with their own signature; the grant starts and will end by itself."""
    tell.step(3, "Two other people approve, each with their own signature over exactly what they saw")
    first = stage.actor("ben").approve(request)
    tell.held(first["state"] == "pending", "one approval (ben, for the weights stewards) is not enough")
    second = stage.actor("chi").approve(request)
    tell.held(second["state"] == "approved", "the second (chi, for security) completes the quorum")
    tell.step(4, "The grant starts, shows where it must, and ends by itself")
    decision = ada.client.get("explain", action="run.submit", resource="model/tern")
    hours = (decision["until"] - ada.client.get("me")["now"]) / 3_600_000
    tell.held(
        decision["allowed"],
        f"run.submit on model/tern: yes, by {decision['grant']}, for {hours:.1f} h and not longer",
    )
    _who(stage, tell)
    return str(decision["grant"])


def _who(stage: Stage, tell: Tell) -> None:
    """Tell who may touch the weights, which must be her alone, and who may only stop things."""
    found = stage.actor("chi").client.get("who", resource="model/tern")["items"]
    touching = {one["principal"]: one["name"] for one in found if RELEASING.intersection(one["actions"])}
    others = {one["name"] for one in found if one["principal"] not in touching}
    tell.held(
        set(touching) == {"ada"},
        f"who can train with, load or save model/tern: {', '.join(touching.values())}, and nobody else",
    )
    tell.line(f"who can only stop things there: {', '.join(sorted(others))}")


def train(stage: Stage, tell: Tell, ada: Actor) -> str:
    """Step 5: two runs on real data, a parent and a child whose loss is lower; return the child's version."""
    tell.step(5, "She trains on real data in a sandbox with one policed way out; checkpoints leave it encrypted")
    code = {path.name: path.read_text("utf-8") for path in sorted(EXAMPLE.glob("*.py"))}
    parent = _run(tell, ada, code, None, FRESH_STEPS)
    child = _run(tell, ada, code, parent["version"], CHILD_STEPS)
    stage.sandbox = child["sandbox"]
    tell.held(
        child["loss_after"] < parent["loss_after"],
        f"the child's loss is lower: {parent['loss_after']:.3f} -> {child['loss_after']:.3f} on held-out text",
    )
    tell.held(bool(child["bit_for_bit"]), "the child was loaded back through the vault, bit for bit")
    line = ada.client.get(f"weights/versions/{child['version']}/lineage")["items"]
    tell.held(len(line) == 2, "lineage: " + " <- ".join(str(one["id"]) for one in line))
    plain = [
        path for path in stage.home.objects.rglob("*") if path.is_file() and b"__metadata__" in path.read_bytes()
    ]
    shards = sum(1 for path in stage.home.objects.rglob("*.floe"))
    tell.held(shards > 0 and not plain, f"storage holds {shards} encrypted objects and no plain tensor")
    return str(child["version"])


def _run(tell: Tell, ada: Actor, code: dict[str, str], parent: str | None, steps: int) -> Answer:
    order = {
        "model": "model/tern",
        "environment": ada.client.get("runs/environments")["items"][0]["digest"],
        "command": ["python", "/code/train.py", "--steps", str(steps)],
        "code": code,
        "dataset": "dataset/stdlib",
        "parent": parent,
        "risk": "high",
        "egress_profile": "none",
    }
    run = str(ada.client.post("runs", order)["id"])
    found = follow(ada, run, tell)
    facts = found.get("facts") or {}
    what = "the parent" if parent is None else "the child, from the parent's checkpoint"
    sandbox = str(facts.get("runtime", "no sandbox"))
    tell.line(f"{what}: {run} {found['state']} in {sandbox} (kernel seen inside: {facts.get('kernel', '?')})")
    text = "\n".join(one["text"] for one in ada.client.get(f"runs/{run}/logs", limit=1000)["items"])
    if found["state"] != "succeeded":
        tell.held(False, f"{run} should have succeeded: {found['reason']} {text[-400:]}")
        raise SystemExit(1)
    result: Answer = json.loads(text.rsplit("RESULT ", 1)[1].splitlines()[0])
    return {
        "version": result["version"],
        "loss_after": result["loss_after"] / 1e6,
        "bit_for_bit": result["loaded_back"] == "bit for bit",
        "sandbox": sandbox,
    }


def follow(actor: Actor, run: str, tell: Tell) -> Answer:
    """Wait for a run, telling its progress as it changes."""
    deadline, said = time.monotonic() + RUN_LIMIT_S, ""
    while time.monotonic() < deadline:
        found: Answer = actor.client.get(f"runs/{run}")
        note = str(found.get("note") or "")
        if note and note != said:
            said = note
            tell.progress(f"{run[:12]} {note}, loss {(found['loss_micro'] or 0) / 1e6:.3f}")
        if found["state"] not in ("queued", "preparing", "running"):
            tell.progress("")
            return found
        time.sleep(0.1)
    tell.held(False, f"{run} did not end in {RUN_LIMIT_S:.0f} s")
    raise SystemExit(1)


def hold(stage: Stage, tell: Tell, version: str) -> None:
    """Step 7, last part: the committee's hold binds an export that was approved, until a quorate vote lifts it."""
    eve = stage.actor("eve")
    partner = X25519PrivateKey.generate().public_key().public_bytes_raw()
    destination = f"x25519:{partner.hex()}"
    request = _ask_export(eve, version, destination)
    for person in ("ben", "chi", "gil"):
        stage.actor(person).approve(request)
    gil = stage.actor("gil")
    status = gil.client.post("releases/hold", {"model": "model/tern", "reason": "The evaluation has open criticals."})
    tell.held(status["held"], "gil (chair) holds the release of model/tern; it binds at once")
    code = _export(eve, version, destination)
    tell.held(code == "access.held", f"an export that three teams had approved is refused while held ({code})")
    dee = stage.actor("dee")
    lifted = _refusal(lambda: dee.client.post(f"holds/{status['hold']}/lift", {"reason": "Shipping today."}))
    tell.held(bool(lifted), f"an administrator cannot lift it ({lifted})")
    _vote_to_lift(stage, tell, str(status["hold"]))
    code = _export(eve, version, destination)
    tell.held(code == "", "after the quorate vote the same export goes through, as ciphertext for one recipient")


def _ask_export(eve: Actor, version: str, destination: str) -> str:
    body = {
        "entitlement": "tern-export",
        "resource": "model/tern",
        "duration": 3_600_000,
        "reason": "Send this one checkpoint to the evaluation partner named in the contract.",
        "operation": {"version": version, "destination": destination},
    }
    return str(eve.client.post("requests", body)["id"])


def _export(eve: Actor, version: str, destination: str) -> str:
    body = {"version": version, "destination": destination}
    return _refusal(lambda: eve.client.post("weights/exports", body))


def _vote_to_lift(stage: Stage, tell: Tell, held: str) -> None:
    gil = stage.actor("gil")
    body = {"class": "lift_hold", "subject": held, "text": "The criticals are closed; lift the hold on model/tern."}
    motion = str(gil.client.post("motions", body)["motion"]["id"])
    _ballot(gil, motion)
    early = _refusal(lambda: gil.client.post(f"motions/{motion}/close"))
    tell.held(bool(early), f"one ballot is no quorum: the vote cannot close ({early})")
    _ballot(stage.actor("hana"), motion)
    closed = gil.client.post(f"motions/{motion}/close")
    tell.held(closed["outcome"] == "carried", "gil and hana (independent) vote to lift: quorate, carried")


def _ballot(member: Actor, motion: str) -> None:
    shown = member.client.get(f"motions/{motion}")
    statement = {**shown["statement"], "ballot": "for", "device": member.device}
    body = {
        "ballot": "for",
        "digest": shown["digest"],
        "device": member.device,
        "at": statement["at"],
        "signature": member.sign(statement),
    }
    member.client.post(f"motions/{motion}/ballots", body)


def _refusal(act: Any) -> str:
    try:
        act()
    except ProblemError as refused:
        return refused.code
    return ""
