"""What honest people do before a theft: ask, and approve with their own devices. Nothing here is an attack."""

from __future__ import annotations

import base64
from typing import Literal

from weighthouse.access import api as access
from weighthouse.assurance.ports import Actor, Ground
from weighthouse.core.caller import Caller
from weighthouse.core.clock import HOUR, Millis
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

REASON = "An exercise of the red team: this request is part of an attack scenario."

BROAD = "An exercise of the red team: two models are compared layer by layer, which nothing narrower allows."


def ask(
    ground: Ground,
    person: str,
    entitlement: str = "tern-load",
    resource: str = "model/tern",
    hold: Millis = HOUR,
    **operation: str,
) -> access.Request:
    """Have a person ask for an entitlement; `operation` names the facts that pin it down."""
    caller = ground.act_as(person).caller
    with begin(ground.system, caller) as unit:
        return access.submit(
            unit,
            caller,
            entitlement=entitlement,
            resource=resource,
            duration=hold,
            reason=REASON if entitlement != "weights-admin" else BROAD,
            operation=dict(operation),
        )


def factor(ground: Ground, caller: Caller, act: str, subject: str, **parameters: str) -> None:
    """Have a person's second factor be given for exactly this act, as their step-up at the provider does."""
    with begin(ground.system, caller) as unit:
        wanted = identity.Act(type=act, subject=subject, parameters=parameters)
        identity.factor_given(unit, caller, [wanted], method="exercise", at=unit.now)


def opening(ground: Ground, person: str, act: str, subject: str) -> identity.KeySignature:
    """Have a person's second factor be given for opening exactly this, and their own device sign it."""
    actor = ground.act_as(person)
    factor(ground, actor.caller, act, subject)
    with read(ground.system, actor.caller) as unit:
        at = unit.now
    return signed(ground, actor, act, subject, at)


def signed(ground: Ground, actor: Actor, act: str, subject: str, at: Millis) -> identity.KeySignature:
    """Have a person's device sign that exactly this be opened at this server; the factor is another matter."""
    said = {"type": "weighthouse/open/2", "audience": identity.audience(ground.system), "act": act}
    who = str(actor.caller.principal)
    value = actor.sign({**said, "subject": subject, "person": who, "device": actor.device, "at": at})
    return identity.KeySignature(device=actor.device, at=at, value=base64.urlsafe_b64decode(value + "=="))


def confirmation(ground: Ground, actor: Actor, key: identity.Device) -> identity.KeySignature:
    """Have a person's second factor be given for confirming a new key, and their own device sign that."""
    factor(ground, actor.caller, "device.confirm", key.thumbprint)
    with read(ground.system, actor.caller) as unit:
        at = unit.now
    said = {"type": "weighthouse/confirm-key/3", "audience": identity.audience(ground.system), "person": key.person}
    named = {"thumbprint": key.thumbprint, "device": key.id}
    value = actor.sign({**said, **named, "by": actor.device, "at": at})
    return identity.KeySignature(device=actor.device, at=at, value=base64.urlsafe_b64decode(value + "=="))


def thaw(ground: Ground, caller: Caller, person: str) -> None:
    """Thaw somebody frozen as whoever holds `caller`'s machine does: by a factor for it and a key's signature."""
    signed = opening(ground, caller.principal, "person.thaw", person)
    factor(ground, caller, "person.thaw", person)
    with begin(ground.system, caller) as unit:
        identity.thaw(unit, person, "It was all a mistake.", caller, signed=signed)
    ground.settle()


def vote(
    ground: Ground, person: str, request: access.Request, verdict: Literal["approve", "deny"] = "approve"
) -> access.Request:
    """Have a person approve or deny a request, signing what their card shows with their own device."""
    actor = ground.act_as(person)
    caller = actor.caller
    factor(ground, caller, "request.vote", str(request.id), verdict=verdict, digest=request.digest)
    with begin(ground.system, caller) as unit:
        card = access.card(unit, caller, request.id)
        statement = {**card.statement, "verdict": verdict, "device": actor.device}
        signature = access.VoteSignature(
            kind="device", at=statement["at"], device=actor.device, value=actor.sign(statement)
        )
        return access.vote(unit, caller, request.id, verdict, digest=card.digest, signature=signature)


def grant(ground: Ground, person: str, entitlement: str = "tern-load", hold: Millis = HOUR) -> str:
    """Have a person ask and both teams approve; return the grant's id."""
    request = ask(ground, person, entitlement, hold=hold)
    vote(ground, "ben", request)
    vote(ground, "chi", request)
    return _granted(ground, person, request)


def withdraw(ground: Ground, request: access.Request) -> None:
    """Have the requester take the request back."""
    caller = ground.act_as(request.person).caller
    with begin(ground.system, caller) as unit:
        access.withdraw(unit, caller, request.id)


def trainer(ground: Ground) -> str:
    """Have Eve take the low-risk role for Wren, which nobody need approve; return the grant's id."""
    return _granted(ground, "eve", ask(ground, "eve", "wren-train", "model/wren"))


def give_back(ground: Ground, grant_id: str) -> None:
    """Have Eve give a grant back."""
    caller = ground.act_as("eve").caller
    with begin(ground.system, caller) as unit:
        access.give_back(unit, caller, grant_id)


def _granted(ground: Ground, person: str, request: access.Request) -> str:
    caller = ground.act_as(person).caller
    with read(ground.system, caller) as unit:
        return next(str(one.id) for one in access.grants_of(unit, caller) if one.request.id == request.id)


def approved_text(ground: Ground, text: str) -> None:
    """Have the platform's administrator ask for a policy text, and security and the committee approve it."""
    request = ask(ground, "dee", "policy-change", "lab", policy=policy.digest_of(text))
    for voter in ("chi", "gil", "hana"):
        vote(ground, voter, request)


def publish(ground: Ground, text: str) -> None:
    """Have the platform's administrator publish a policy text that security and the committee have approved."""
    approved_text(ground, text)
    publish_approved(ground, text)


def publish_approved(ground: Ground, text: str) -> None:
    """Have the platform's administrator publish a policy text by the approval that they have."""
    caller = ground.act_as("dee").caller
    factor(ground, caller, "policy.publish", policy.LAB_RESOURCE, policy=policy.digest_of(text))
    with begin(ground.system, caller) as unit:
        access.publish_policy(unit, caller, text, "lab.yaml")
