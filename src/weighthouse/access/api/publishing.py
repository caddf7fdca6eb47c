"""Publishing policy. Guards the rules from the one person who may type them.

The first policy of a lab is published by whoever starts it; every later one by a person whose grant, approved by
others, names the digest of exactly this text and was asked for, and approved, under the very policy that it replaces:
the difference that its approvers saw is the one that comes about. The grant is used up by it. A text that changes who
decides takes a carried motion of the committee as it sat before, besides (`mandate`).
"""

from __future__ import annotations

from weighthouse.access.api.accounts import settle_accounts
from weighthouse.access.api.decision import authorise
from weighthouse.access.api.facts import index_of, member, person_of
from weighthouse.access.api.grants import end_grant
from weighthouse.access.api.held import free_person
from weighthouse.access.api.mandate import mandate_for
from weighthouse.access.api.overtaking import settle_overtaken
from weighthouse.access.api.requests import refuse
from weighthouse.access.api.subjects import check_kept
from weighthouse.access.events import PolicyPublished
from weighthouse.access.store import grants as grant_rows
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Denied, Unavailable
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

MOST_CHANGES = 100


def publish_policy(unit: Unit, caller: Caller | None, text: str, name: str) -> policy.Bundle:
    """Check `text`, publish it signed as the next version, and say in the log what it changes.

    `caller` None is the start of a lab, possible only while there is no policy. Raises Invalid(`policy.*`), Denied
    (`access.no_grant`, `access.operation_differs`, `access.base_moved`, `access.policy_exists`, and
    `access.charter_needs_motion` for a text that changes who decides, `access.hold_would_slip` for one that takes
    from a hold what it stands on), Conflict `policy.unchanged`.
    """
    lab = policy.parse(text, name, now=unit.now)  # a faulty text is refused before anybody's grant is looked at
    if caller is None:
        return _first(unit, text, name)
    before = policy.current_locked(unit)
    policy.check_succession(before.lab, lab)
    person_of(unit, before, caller)
    digest = policy.digest_of(text)
    act = identity.Act(type="policy.publish", subject=policy.LAB_RESOURCE, parameters={"policy": digest})
    stale = caller.assurance.level < 2 or unit.now - caller.assurance.at > policy.STEP_UP_FRESH
    if stale:
        identity.require_act(unit, caller, act)  # asked first: giving it also answers what the rules would ask
    decision = authorise(unit, caller, "policy.publish", policy.LAB_RESOURCE, policy=digest)
    if not stale:
        identity.require_act(unit, caller, act)
    check_kept(unit, caller, before, lab)
    motion = mandate_for(unit, caller, lab, digest)
    after = policy.store(unit, text, name, caller.principal)
    _record(unit, after, before.digest, caller, decision.grant or "", before.lab, motion)
    if decision.grant is not None:
        row = grant_rows.find(unit.conn, decision.grant, lock=True)
        if row is not None:
            end_grant(unit, row, "used", caller.principal, "")
    settle_accounts(unit, before.lab, after.lab)
    settle_overtaken(unit, after)
    return after


def plan_policy(unit: Unit, caller: Caller, text: str, name: str) -> tuple[policy.Bundle, policy.Lab, list[str]]:
    """What `text` would change: (the bundle in force, the lab it says, the differences). Changes nothing.

    For those who may ask for a change of policy, approve one, or read the log: the differences tell the whole lab.
    Raises Invalid(`policy.*`), Denied `access.not_yours_to_see`, `access.hold_would_slip`.
    """
    bundle = _concerned(unit, caller)
    after = policy.parse(text, name, now=unit.now)
    policy.check_succession(bundle.lab, after)
    check_kept(unit, caller, bundle, after)
    return bundle, after, policy.difference(bundle.lab, after)


def policy_text(unit: Unit, caller: Caller, digest: str) -> str:
    """A text that is, or was, in force, whole: for whoever may compare one, since each tells the whole lab.

    Raises Denied `access.not_yours_to_see`, NotFound `policy.no_such_text`.
    """
    _concerned(unit, caller)
    return policy.text_of(unit, digest)


def _concerned(unit: Unit, caller: Caller) -> policy.Bundle:
    """The bundle in force, for those who ask for a change of policy, approve one, or read the log."""
    bundle = policy.current(unit)
    person = free_person(unit, bundle, caller, "policy.plan", policy.LAB_RESOURCE)
    one = member(unit, bundle, person)
    lab = bundle.lab.resources[policy.LAB_RESOURCE]
    concerned = index_of(bundle).standing_teams("audit.read", lab) | policy.committee_teams(bundle.lab)
    for entitlement in bundle.lab.entitlements.values():
        if "policy.publish" in entitlement.actions:
            concerned |= entitlement.eligible_teams | {slot.team for slot in entitlement.requires}
    if one is None or not one.teams & concerned:
        raise refuse(
            bundle, caller, "policy.plan", policy.LAB_RESOURCE, "access.not_yours_to_see",
            "What a text would change is for those who ask for, approve or audit changes of policy.",
            "Ask one of them to compare it for you.",
        )  # fmt: skip
    return bundle


def policy_in_force(unit: Unit, caller: Caller) -> policy.Bundle:
    """The bundle that decides now, for a person of the lab."""
    bundle = policy.current(unit)
    person_of(unit, bundle, caller)
    return bundle


def _first(unit: Unit, text: str, name: str) -> policy.Bundle:
    try:
        policy.current(unit)
    except Unavailable as error:
        if error.code != "policy.none":
            raise
    else:
        raise Denied(
            "access.policy_exists",
            "This lab has a policy; only a person with an approved grant publishes the next one.",
            "Ask for the entitlement that gives policy.publish, naming the digest of the text.",
        )
    bundle = policy.store(unit, text, name, "system")
    _record(unit, bundle, "", None, "", None)
    return bundle


def _record(
    unit: Unit,
    bundle: policy.Bundle,
    previous: str,
    by: Caller | None,
    grant: str,
    before: policy.Lab | None,
    motion: str = "",
) -> None:
    changes = policy.difference(before, bundle.lab) if before is not None else ["The first policy of this lab."]
    audit.append(
        unit,
        PolicyPublished(
            digest=bundle.digest,
            version=bundle.version,
            previous=previous,
            by=by.principal if by is not None else "system",
            grant=grant,
            motion=motion,
            session=str(by.session or "") if by is not None else "",
            changes=tuple(policy.shortened(changes, MOST_CHANGES)),
        ),
    )
