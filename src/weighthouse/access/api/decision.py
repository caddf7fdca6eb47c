"""THE decision. Guards every release: `require` raises and leaves a line, `explain` says why and writes nothing.

Facts come from the signed policy, identity's sealed state and verified grants; the verdict comes from Cedar. A part
that cannot be asked raises `Unavailable`, so the answer is no. One call reads one snapshot, at the unit's own time.
"""

from __future__ import annotations

import msgspec

from weighthouse.access.api import binding
from weighthouse.access.api.calls import stop_of
from weighthouse.access.api.facts import LabIndex, index_of, member
from weighthouse.access.api.verifying import Standing, standing_of
from weighthouse.access.events import Allowed
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.model import (
    HELD_ACTIONS,
    IRREVERSIBLE,
    WORKLOAD_ACCOUNT,
    WORKLOAD_ENVIRONMENT,
    WORKLOAD_GRANT,
    WORKLOAD_IMAGE,
    WORKLOAD_MODEL,
    WORKLOAD_PERSON,
    WORKLOAD_SANDBOX,
    Decision,
    Grant,
    Reason,
    named_version,
)
from weighthouse.access.ports import Refusals
from weighthouse.access.rules import reasons as words
from weighthouse.access.rules.advisor import advise
from weighthouse.access.store import grants as grant_rows
from weighthouse.audit import api as audit
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

Context = dict[str, str | int | bool]
CALLED_OFF = frozenset({*HELD_ACTIONS, *IRREVERSIBLE})


def require(unit: Unit, caller: Caller, action: str, resource: str, **context: str | int | bool) -> Decision:
    """Return the decision if it is yes and append `access.Allowed`; raise Denied with its one line otherwise.

    `context` names facts of the operation (which version, to where) that a grant may have pinned down. The error's
    code is that of the first deciding reason; an unknown resource is NotFound `access.no_such_resource`.
    """
    decision = judge(unit, caller, action, resource, context)
    if not decision.allowed:
        raise refusal(caller, decision, context)
    audit.append(
        unit,
        Allowed(
            principal=caller.principal,
            kind=caller.kind,
            action=action,
            resource=resource,
            rule=decision.reasons[0].rule,
            grant=decision.grant or "",
            policy_digest=decision.policy_digest,
            context=context,
        ),
    )
    binding.bind(unit, caller, decision)
    _until_commit(unit, caller, decision, context)
    return decision


def _until_commit(unit: Unit, caller: Caller, decision: Decision, context: Context) -> None:
    """Let a yes hold until the commit: refuse what was closed or held since, by the memory outside the database. A no
    is said there before any row is locked or written.

    Attack: lock a table that the act comes to after it was decided, until a hold or a revocation was acknowledged.
    A unit that says a no itself is not asked about that. What members of the committee stop by calls, which no list
    of holds tells of, is rare, and is asked about again in any case.
    """
    if unit.read_only:
        return
    refusals = unit.part(Refusals)
    known = refusals.holds()

    def again() -> None:
        if unit.stands:
            return
        closed = decision.grant is not None and refusals.closed(decision.grant)
        held = {hold.id for hold in refusals.holds()} - {hold.id for hold in known}
        if closed or held or decision.action in CALLED_OFF:
            said = judge(unit, caller, decision.action, decision.resource, context, keyed=True)
            if not said.allowed:
                raise refusal(caller, said, context)

    unit.ask_last(again)


def explain(unit: Unit, caller: Caller, action: str, resource: str, **context: str | int | bool) -> Decision:
    """Say what `require` would, with all reasons; writes no line and changes nothing."""
    return judge(unit, caller, action, resource, context)


def explain_without_key(
    unit: Unit, caller: Caller, action: str, resource: str, **context: str | int | bool
) -> Decision:
    """Like `explain`, whatever key the caller acts by: for what is asked again of somebody who is not here, and for
    what is only shown."""
    return judge(unit, caller, action, resource, context, keyed=True)


def explain_for(unit: Unit, caller: Caller, principal: str, action: str, resource: str) -> Decision:
    """Say what another person could do now, were they here with a fresh second factor and key. Needs `audit.read`."""
    authorise(unit, caller, "audit.read", policy.LAB_RESOURCE)
    theirs = sorted(policy.accounts_of(policy.current(unit).lab, principal))
    asked = Caller(
        principal=PrincipalId(principal),
        kind="person",
        account=theirs[0] if theirs else "",
        assurance=Assurance(2, unit.now, "assumed"),
        binding="none",
    )
    return judge(unit, asked, action, resource, {}, keyed=True)


def authorise(unit: Unit, caller: Caller, action: str, resource: str, **context: str | int | bool) -> Decision:
    """Like `require`, for steps of this room that leave a line of their own: a yes appends nothing, a no one line."""
    decision = judge(unit, caller, action, resource, context)
    if not decision.allowed:
        raise refusal(caller, decision, context)
    _until_commit(unit, caller, decision, context)
    return decision


def refusal(caller: Caller, decision: Decision, context: Context) -> WeighthouseError:
    """The error of a no, carrying its one line for the log."""
    first = decision.reasons[0]
    kind = NotFound if first.code == "access.no_such_resource" else Denied
    line = DeniedEvent(
        principal=caller.principal,
        kind=caller.kind,
        action=decision.action[:64],
        resource=decision.resource[:200],
        code=first.code,
        rule=first.rule,
        grant=first.grant or "",
        policy_digest=decision.policy_digest,
        context={key: value[:300] if isinstance(value, str) else value for key, value in context.items()},
        hold=decision.hold,
    )
    return kind(first.code, first.text, decision.remedy, record=[line])


def judge(
    unit: Unit, caller: Caller, action: str, resource: str, context: Context, *, keyed: bool = False
) -> Decision:
    """Collect the facts and ask for the verdict; with `keyed`, as if the caller acted by a key that counts."""
    bundle = policy.current(unit)
    thing = bundle.lab.resources.get(resource)
    asker = _asker(unit, bundle, caller)
    early = _early(action, thing, asker)
    if early is not None or thing is None or asker is None:
        reason = early or words.plain("access.unknown_principal", "The lab does not know who asks.")
        return _no(caller, action, resource, bundle, (reason,))
    index = index_of(bundle)
    named = policy.IMPLIED.get(action, action)  # as entitlements and grants name it
    standing = index.standing_teams(named, thing)
    basis = bool(asker.teams & standing) and asker.kind == "person"
    best, problems = (None, ()) if basis else _best(unit, bundle, caller, asker.person, named, thing.id, context)
    key = None if keyed else _key(unit, bundle.lab, caller, action)
    stop = stop_of(unit, sorted({action, named}), thing.id, asker.person, named_version(context))
    question = policy.PolicyQuestion(
        principal=msgspec.structs.replace(asker, key=action in policy.KEYED and key is None),
        action=action,
        resource=_resource(bundle.lab, thing),
        standing=standing,
        grant=_grant_facts(best, context),
        held=stop is not None,
        now=unit.now,
    )
    verdict = policy.decide(question)
    if not verdict.allowed and best is None and not problems and _unknown_to(bundle.lab, asker.person, thing, index):
        return _no(caller, action, resource, bundle, (_NO_RESOURCE,))
    decision = _decision(bundle, question, verdict, best, problems, index, key)
    if stop is not None and decision.reasons[0].code == "access.held":
        return msgspec.structs.replace(decision, hold=stop.hold)
    if decision.reasons[0].code != "access.outside_run":
        return decision
    missing = _advised(bundle, index, question, "run.submit")
    may = judge(unit, caller, "run.submit", resource, {}, keyed=True).allowed
    return msgspec.structs.replace(decision, remedy=words.inside(may, missing), missing=() if may else missing)


def _key(unit: Unit, lab: policy.Lab, caller: Caller, action: str) -> Reason | None:
    """Why the key that is acted by does not count; None if it does, or if no rule asks about it here. For a run that
    was asked when it was ordered, if the class of the model that it was ordered for asks for device signatures."""
    if action not in policy.KEYED:
        return None
    if caller.kind == "workload":
        ordered = lab.resources.get(caller.attributes.get(WORKLOAD_MODEL, ""))
        signed = ordered is not None and lab.classes[ordered.cls].vote_signature == "device"
        return None if signed or identity.at_once(unit.system) else words.ORDERED_BELOW
    try:
        identity.check_key(unit, caller)
    except WeighthouseError as error:
        return Reason(error.code, error.message, "key")
    return None


def _early(action: str, thing: policy.Resource | None, asker: policy.PrincipalFacts | None) -> Reason | None:
    if asker is None:
        return words.plain(
            "access.unknown_principal", "The lab does not know who asks, or only the system itself did."
        )
    if action not in policy.ACTIONS and action not in policy.IMPLIED:
        return words.plain("access.no_such_action", "There is no such action.")
    return _NO_RESOURCE if thing is None else None


_NO_RESOURCE = words.plain("access.no_such_resource", "There is no such resource.")


def _unknown_to(lab: policy.Lab, person: str, thing: policy.Resource, index: LabIndex) -> bool:
    """Whether a person may not even know of this: the answer is then that of a name that nobody has given."""
    return thing.id != policy.LAB_RESOURCE and not lab.people[person].teams & index.knowers(thing)


def _asker(unit: Unit, bundle: policy.Bundle, caller: Caller) -> policy.PrincipalFacts | None:
    """Who asks. A workload asks for the person whose grant it works under; the system has no rights of its own."""
    person = caller.principal if caller.kind == "person" else caller.attributes.get(WORKLOAD_PERSON, "")
    one = member(unit, bundle, person) if caller.kind != "system" else None
    if one is None:
        return None
    account = caller.account if caller.kind == "person" else caller.attributes.get(WORKLOAD_ACCOUNT) or one.adopted
    known = account in one.accounts  # fails for nobody's session, and for a run of an account that has moved
    active = one.active and known and (caller.kind == "person" or identity.is_active(unit, caller.principal))
    return policy.PrincipalFacts(
        kind="person" if caller.kind == "person" else "workload",
        id=caller.principal,
        person=person,
        teams=one.teams,
        active=active,
        bound=caller.binding == "workload",
        assurance_level=caller.assurance.level,
        assurance_age=max(0, unit.now - caller.assurance.at),
        sandbox=caller.attributes.get(WORKLOAD_SANDBOX, ""),
        environment=caller.attributes.get(WORKLOAD_ENVIRONMENT, ""),
        image=caller.attributes.get(WORKLOAD_IMAGE, ""),
    )


def _best(
    unit: Unit, bundle: policy.Bundle, caller: Caller, person: str, action: str, resource: str, context: Context
) -> tuple[Standing | None, tuple[Reason, ...]]:
    """The grant to decide by, and what was wrong with the others. Of several the one for this very operation is
    taken, for a run the narrowest; one for another operation, or that has run out, is still put to the rules, which
    say so. A run that is bound to one is served by no other."""
    pinned = binding.pinned(unit, caller, resource)
    serving: list[Standing] = []
    problems: list[Reason] = []
    other: Standing | None = None
    late: Standing | None = None
    for row in grant_rows.for_use(unit.conn, person, resource):
        if pinned is not None and row.id != pinned:
            continue
        found = standing_of(unit, bundle, row)
        if found.problem or found.grant is None:
            problems.append(words.grant_reason(found.problem, row.id))
        elif action not in found.actions:
            continue
        elif not found.grant.not_before <= unit.now < found.end:
            late = late or found
        elif _same_operation(found.grant, context):
            serving.append(found)
            if caller.kind != "workload":
                break
        else:
            other = other or found
    chosen = min(serving, key=lambda one: (len(one.actions), one.end), default=other or late)
    if chosen is None and not problems and pinned and not caller.attributes.get(WORKLOAD_GRANT):
        used = grant_rows.find(unit.conn, pinned)
        over = used is None or used.state != "active"
        problems.append(words.grant_reason("access.grant_ended" if over else "access.run_bound", pinned))
    if chosen is None and not problems:
        problems.extend(_lost(unit, bundle, person, action, resource))
    return chosen, tuple(problems)


def _same_operation(grant: Grant, context: Context) -> bool:
    """Whether every fact that the grant pins is named again, with the same value of the same type (1 is not true)."""
    return all(
        key in context and type(context[key]) is type(value) and context[key] == value
        for key, value in grant.request.operation.items()
    )


def _lost(unit: Unit, bundle: policy.Bundle, person: str, action: str, resource: str) -> list[Reason]:
    """Say so if the person had a grant that was ended; a bare no would hide the reason."""
    row = grant_rows.last_ended(unit.conn, person, resource)
    if row is None:
        return []
    found = standing_of(unit, bundle, row)
    if found.grant is None or action not in found.grant.request.actions:
        return []
    code = "access.grant_expired" if found.grant.ended_why == "expired" else "access.grant_ended"
    return [words.grant_reason(code, row.id)]


def _grant_facts(best: Standing | None, context: Context) -> policy.GrantFacts | None:
    if best is None or best.grant is None:
        return None
    grant = best.grant
    return policy.GrantFacts(
        id=grant.id,
        person=grant.person,
        resource=grant.resource,
        actions=best.actions,
        not_before=grant.not_before,
        end=best.end,
        environment=grant.request.environment,
        operation_matches=_same_operation(grant, context),
    )


def _resource(lab: policy.Lab, thing: policy.Resource) -> policy.ResourceFacts:
    cls = lab.classes[thing.cls]
    return policy.ResourceFacts(
        id=thing.id,
        kind=thing.kind,
        environment=thing.environment,
        cls=cls.id,
        assurance=cls.assurance,
        fresh=cls.fresh,
        sandbox=cls.sandbox,
        images=frozenset(cls.images),
        outside_runs=frozenset(cls.outside_runs),
        signed=cls.vote_signature == "device",
    )


def _decision(
    bundle: policy.Bundle,
    question: policy.PolicyQuestion,
    verdict: policy.Verdict,
    best: Standing | None,
    problems: tuple[Reason, ...],
    index: LabIndex,
    key: Reason | None,
) -> Decision:
    asker = question.principal
    grant = best.grant if best is not None else None
    if verdict.allowed:
        by_grant = "standing" not in verdict.policies and grant is not None
        text = f"Grant of {grant.entitlement}." if by_grant and grant else "Standing entitlement of the team."
        return Decision(
            allowed=True,
            action=question.action,
            resource=question.resource.id,
            principal=asker.id,
            reasons=(Reason("access.allowed", text, verdict.policies[0], grant.id if by_grant and grant else None),),
            grant=grant.id if by_grant and grant else None,
            until=best.end if by_grant and best else None,
            policy_digest=bundle.digest,
        )
    if verdict.errors:
        reasons: tuple[Reason, ...] = (
            Reason(policy.EVALUATION_ERROR, "The rules could not be evaluated, so the answer is no.", "error"),
        )
    else:
        basis = best is not None or (asker.kind == "person" and bool(asker.teams & question.standing))
        reasons = words.order(frozenset(verdict.policies), basis, problems, grant.id if grant else None, key)
    missing = _advised(bundle, index, question, policy.IMPLIED.get(question.action, question.action))
    return Decision(
        allowed=False,
        action=question.action,
        resource=question.resource.id,
        principal=asker.id,
        reasons=reasons,
        policy_digest=bundle.digest,
        remedy=_remedy(reasons[0].code, missing),
        missing=missing,
    )


def _advised(bundle: policy.Bundle, index: LabIndex, question: policy.PolicyQuestion, action: str) -> tuple[str, ...]:
    """The narrowest entitlements that give an action there, of those that whoever asks may ask for."""
    return tuple(
        one.entitlement
        for one in advise(index.candidates(), question.resource.id, action)
        if bundle.lab.entitlements[one.entitlement].eligible_teams & question.principal.teams
    )[:3]


def _remedy(code: str, missing: tuple[str, ...]) -> str:
    if code == "access.no_grant":
        return f"Ask for '{missing[0]}'." if missing else "No entitlement that you may ask for gives this."
    return words.remedy_of(code)


def _no(caller: Caller, action: str, resource: str, bundle: policy.Bundle, reasons: tuple[Reason, ...]) -> Decision:
    return Decision(
        allowed=False,
        action=action,
        resource=resource,
        principal=caller.principal,
        reasons=reasons,
        policy_digest=bundle.digest,
        remedy=words.remedy_of(reasons[0].code),
    )
