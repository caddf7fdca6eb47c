"""Voting. Guards every grant: a vote is one person's signature, with a second factor given for it, over exactly one
request under exactly one policy.

The request's row is locked first, so that of two last votes one makes the grant and none is lost; the vote is unique
for (request, person), so that nobody votes twice, on whichever server.
"""

from __future__ import annotations

import msgspec

from weighthouse.access.api.activation import activate, approve
from weighthouse.access.api.apart import check_separation
from weighthouse.access.api.cards import CARD_LIFE, counted_now, may_see, may_vote
from weighthouse.access.api.facts import directory, member, terms_of
from weighthouse.access.api.foreign import refuse_foreign
from weighthouse.access.api.held import check_open, free_person
from weighthouse.access.api.overtaking import overtaken
from weighthouse.access.api.requests import (
    closed,
    is_over,
    no_such_request,
    opened,
    refuse,
    refuse_by_id,
    say_no,
    settle,
    submitted,
    write_no,
)
from weighthouse.access.api.sealing import attest, b64, open_votes, seal_vote, vote_problem
from weighthouse.access.api.taken_back import is_foreign_now
from weighthouse.access.api.voiding import without_void
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.events import RequestDenied, VoteCast
from weighthouse.access.model import Ballot, Request, Vote, VoteSignature
from weighthouse.access.ports import Refusals
from weighthouse.access.rules import reasons as words
from weighthouse.access.rules import wording
from weighthouse.access.rules.deciding import Outcome, Terms, decide, problem_of
from weighthouse.access.store import requests as rows
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.errors import Conflict, Denied, Invalid
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy


def vote(
    unit: Unit,
    caller: Caller,
    request_id: str,
    verdict: Ballot,
    *,
    digest: str,
    signature: VoteSignature,
    comment: str = "",
) -> Request:
    """Cast a vote; the last one that was missing makes the grant in this same transaction.

    `digest` is the request's digest as the voter saw it. Raises NotFound `access.no_such_request`; Denied
    `access.self_approval`, `access.not_an_approver`, `access.vote_signature`, `access.attested_not_enough`;
    Unauthenticated `identity.act_unconfirmed`; Conflict `access.request_differs`, `access.already_voted`,
    `access.request_closed`, `access.request_lapsed`, `access.policy_moved`, `identity.signature_stale`.
    """
    if verdict not in ("approve", "deny"):
        raise Invalid("access.bad_verdict", "A verdict is approve or deny.", "Choose one.")
    bundle = policy.current(unit)
    voter = _voter(unit, bundle, caller, request_id)
    request = opened(unit, request_id, refuses=verdict == "deny")
    if request is None and verdict == "deny" and _decides(unit, bundle, request_id, voter):
        raise refuse_by_id(unit, request_id, RequestDenied(request_id=request_id, by=voter))
    if request is None or not may_see(unit, bundle, request, voter):
        raise no_such_request()
    terms = terms_of(bundle.lab, request.entitlement, request.resource)
    _may(unit, bundle, caller, request, voter, verdict)
    if digest != request.digest:
        raise Conflict(
            "access.request_differs",
            "What you saw is not what this request says.",
            "Open the card again and decide on what it shows now.",
        )
    _one_account(unit, bundle, caller, request, verdict)
    cast = seal_vote(unit, _signed(unit, bundle, caller, request, voter, verdict, signature, comment, terms))
    said = {"verdict": verdict, "digest": request.digest}
    act = identity.Act(type="request.vote", subject=request.id, parameters=said)
    over = _deny_first(unit, bundle, caller, request, act, terms) if verdict == "deny" else False
    identity.require_act(unit, caller, act)
    if not rows.add_vote(unit.conn, cast, unit.now):
        if _counts_still(unit, bundle, request, voter, terms):
            raise _voted()
        rows.replace_vote(unit.conn, cast, unit.now)
    audit.append(unit, _cast(cast))
    if verdict == "deny":
        return _denied(unit, request, voter, over=over)
    return _apply(unit, bundle, request, terms)


def _deny_first(
    unit: Unit, bundle: policy.Bundle, caller: Caller, request: Request, act: identity.Act, terms: Terms | None
) -> bool:
    """Remember a no before the factor, the vote or a line of it is written: a lock on any of their tables must not
    keep it from being said. Everything that could refuse it is asked by reading."""
    identity.check_act(unit, caller, act)
    if _counts_still(unit, bundle, request, caller.principal, terms):
        raise _voted()
    return say_no(unit, request, "denied", caller.principal)


def _denied(unit: Unit, request: Request, voter: str, *, over: bool) -> Request:
    """Let the row say the no. One is enough, asking no row of another's vote."""
    write_no(unit, request, "denied", voter, over=over)
    audit.append(unit, RequestDenied(request_id=request.id, by=voter))
    return msgspec.structs.replace(request, state="denied", settled=unit.now, settled_why=voter)


def _voted() -> Conflict:
    return Conflict("access.already_voted", "You have voted on this; a vote is final.", "None is needed.")


def _decides(unit: Unit, bundle: policy.Bundle, request_id: str, voter: str) -> bool:
    """Whether the log knows a request whose row is gone, and the voter sits in a team that decides on such."""
    asked = submitted(unit, request_id)
    terms = terms_of(bundle.lab, asked["entitlement"], asked["resource"]) if asked is not None else None
    one = member(unit, bundle, voter)
    if asked is None or terms is None or one is None or not one.active or asked["principal"] == voter:
        return False
    return bool(one.teams & {slot.team for slot in terms.slots})


def _voter(unit: Unit, bundle: policy.Bundle, caller: Caller, request_id: str) -> str:
    """The person who votes; a bot, a workload or the system that tries leaves a line."""
    if caller.kind != "person":
        raise refuse(
            bundle, caller, "request.vote", request_id[:64], "access.not_a_person",
            "Only a person votes; a workload, a bot or the system never does.", "A person decides this.",
        )  # fmt: skip
    return free_person(unit, bundle, caller, "request.vote", request_id[:64])


def _counts_still(unit: Unit, bundle: policy.Bundle, request: Request, voter: str, terms: Terms | None) -> bool:
    """Whether the vote that this person has given still counts; one whose device was ended may be given again."""
    given = [one for one in open_votes(unit, rows.votes_of(unit.conn, request.id)) if one.vote.voter == voter]
    return any(not problem_of(request, one, member(unit, bundle, voter), terms) for one in given)


def _one_account(unit: Unit, bundle: policy.Bundle, caller: Caller, request: Request, verdict: Ballot) -> None:
    """Whoever holds one account has one vote, under whichever name policy has given it since, and none on what it
    asked for itself. A vote that nobody signed keeps nobody from saying no."""
    given = open_votes(unit, rows.votes_of(unit.conn, request.id))
    proved = [(request.person, request.account)]
    proved += [(one.vote.voter, one.vote.account) for one in given if verdict == "approve" or not one.problem]
    people = directory(unit, bundle, {person for person, _ in proved})
    others = {account or people[person].adopted for person, account in proved if person in people}
    others |= {account for _, account in proved}
    others -= {account for person, account in proved if person == caller.principal}
    if caller.account in others:
        raise refuse(
            bundle, caller, "request.vote", request.id, "access.account_voted",
            "Your account has asked for this or voted on it already, under another person's name.",
            "Leave it to the others that the request names.",
        )  # fmt: skip


def _cast(vote: Vote) -> VoteCast:
    return VoteCast(
        request_id=vote.request,
        request_digest=vote.request_digest,
        policy_digest=vote.policy_digest,
        verdict=vote.verdict,
        voter=vote.voter,
        kind=vote.kind,
        device=vote.device,
        signed_at=vote.at,
        signature=vote.signature,
        comment=vote.comment,
        session=vote.session,
    )


def _may(unit: Unit, bundle: policy.Bundle, caller: Caller, request: Request, voter: str, verdict: Ballot) -> None:
    if voter == request.person:
        raise refuse(
            bundle, caller, "request.vote", request.id, "access.self_approval",
            "Nobody votes on their own request, from whichever account.",
            "Ask the approvers that the request names.",
        )  # fmt: skip
    if not may_vote(unit, bundle, request, voter):
        raise refuse(
            bundle, caller, "request.vote", request.id, "access.not_an_approver",
            "You are not in a team that this request needs.", "Leave it to the teams it names.",
        )  # fmt: skip
    settled = request.state != "pending" and (verdict == "approve" or is_over(unit, request))
    if settled or unit.part(Refusals).closed(request.id):
        raise closed(request)
    if verdict == "approve" and is_foreign_now(unit, request):
        raise refuse_foreign(unit, request)
    if unit.now >= request.lapses:
        raise Conflict("access.request_lapsed", "The time to decide on this is over.", "The requester may ask again.")


def _signed(
    unit: Unit,
    bundle: policy.Bundle,
    caller: Caller,
    request: Request,
    voter: str,
    verdict: Ballot,
    signature: VoteSignature,
    comment: str,
    terms: Terms | None,
) -> Vote:
    if len(comment) > wording.LONGEST or visible.hidden(comment, lines=True):
        raise Invalid("access.bad_comment", "A comment is at most 500 visible characters.", "Shorten it.")
    attested = signature.kind == "attested"
    demanded = {request.vote_signature, terms.vote_signature if terms else "device"}
    if attested and "device" in demanded:
        raise refuse(
            bundle, caller, "request.vote", request.id, "access.attested_not_enough",
            "This class asks for a vote signed by your enrolled device.",
            "Vote in a browser with your device key, or with `weighthouse review`.",
        )  # fmt: skip
    at = unit.now if attested else signature.at
    if not attested and not unit.now - CARD_LIFE <= at <= unit.now:
        raise Conflict(
            "access.card_expired", "The card you signed is older than ten minutes.", "Open it again and sign anew."
        )
    made = Vote(
        request=request.id,
        request_digest=request.digest,
        policy_digest=bundle.digest,
        verdict=verdict,
        voter=voter,
        kind=signature.kind,
        device="" if attested else signature.device,
        at=at,
        signature=signature.value,
        comment=visible.cleaned(comment),
        account=caller.account,
        audience=identity.audience(unit.system),
        session=str(caller.session or ""),
    )
    if attested:
        return msgspec.structs.replace(made, signature=b64(attest(unit, encode(made.statement()))))
    problem = vote_problem(unit, made)
    if problem and not vote_problem(unit, msgspec.structs.replace(made, audience="")):
        raise _outdated(bundle, caller, request)
    if problem:
        raise _bad_signature(bundle, caller, request, problem)
    identity.check_still_ours(unit, caller, identity.Act(type="request.vote", subject=request.id), made.device, at)
    return made


def _outdated(bundle: policy.Bundle, caller: Caller, request: Request) -> Denied:
    said = identity.outdated()
    return refuse(bundle, caller, "request.vote", request.id, said.code, said.message, said.remedy)


def _bad_signature(bundle: policy.Bundle, caller: Caller, request: Request, problem: str) -> Denied:
    return refuse(
        bundle, caller, "request.vote", request.id, problem,
        "The signature is not by your enrolled device over this request, this verdict and the policy in force.",
        "Open the card again, for policy may have changed, and sign with your own device.",
    )  # fmt: skip


def _apply(unit: Unit, bundle: policy.Bundle, request: Request, terms: Terms | None) -> Request:
    """Decide on all votes, with the row locked, and carry the outcome out."""
    counted = without_void(unit, counted_now(unit, request.id))
    people = directory(unit, bundle, {request.person, *(one.vote.voter for one in counted)})
    moved = overtaken(unit, request)
    if moved:
        raise _moved(bundle, request, moved)
    outcome: Outcome = decide(request, counted, people, terms, unit.now)
    if outcome.state == "denied":
        settle(unit, request, "denied", outcome.why)
        audit.append(unit, RequestDenied(request_id=request.id, by=outcome.why))
        return msgspec.structs.replace(request, state="denied", settled=unit.now, settled_why=outcome.why)
    if outcome.state == "approved":
        check_open(unit, bundle, request, "request.activate")
        check_separation(unit, bundle, request, pending=False)
        approved = approve(unit, request, outcome.quorum)
        activate(
            unit, bundle, approved, [one.vote for one in counted if not one.problem and one.vote.verdict == "approve"]
        )
        return approved
    if outcome.state == "invalidated":
        raise _moved(bundle, request, outcome.why)
    return request


def _moved(bundle: policy.Bundle, request: Request, why: str) -> Conflict:
    line = DeniedEvent(
        principal=request.person,
        kind="person",
        action="request.activate",
        resource=request.resource,
        code="access.policy_moved",
        rule="access",
        grant="",
        policy_digest=bundle.digest,
        context={"why": why},
    )
    return Conflict(
        "access.policy_moved",
        f"Policy has changed since this was asked, and did not allow it any more: {words.why_moved(why)}",
        "The requester may ask again under the policy in force.",
        record=[line],
    )
