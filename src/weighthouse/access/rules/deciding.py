"""The pure heart of approval: what a request has become, and whether a grant still stands.

Guards against counting what must not count. A vote counts only if its signature is sound, it names this very request,
its voter is not the requester, is active, and sits in a team that is asked for *now*; the request's own terms and
today's policy must both be satisfied (the stricter wins); a denial is never erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from weighthouse.access.model import PUBLISH, Request, RequestState, Slot, Vote
from weighthouse.access.rules.matching import fill
from weighthouse.core.clock import Millis


class Member(msgspec.Struct, frozen=True):
    """A person as the directory knows them now. `devices` are those whose signatures count, `accounts` those that
    policy gives them, `adopted` the one that statements from before accounts were kept count as."""

    teams: frozenset[str]
    active: bool
    devices: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    adopted: str = ""

    def has(self, account: str) -> bool:
        """Whether what `account` proved is this person's today."""
        return (account or self.adopted) in self.accounts


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What policy says today about one entitlement on one resource."""

    slots: tuple[Slot, ...]
    actions: frozenset[str]
    cap: Millis
    chain: Millis
    pending: Millis
    vote_signature: str
    fresh: Millis
    cls: str
    environment: str
    reaches: bool
    eligible_teams: frozenset[str]
    operation: tuple[str, ...]
    standing: bool
    broad: bool


class Counted(msgspec.Struct, frozen=True):
    """A vote and why it does not count (`problem` is an error code, empty if it does)."""

    vote: Vote
    problem: str = ""


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the approvals suffice: who fills what, what is missing, which votes were dropped and why."""

    filled: tuple[tuple[str, str], ...]
    missing: tuple[Slot, ...]
    dropped: tuple[tuple[str, str], ...]

    @property
    def complete(self) -> bool:
        return not self.missing


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a request has become, and why."""

    state: RequestState
    why: str = ""
    quorum: Quorum


def weigh(request: Request, votes: Sequence[Counted], directory: Mapping[str, Member], terms: Terms) -> Quorum:
    """Count the approvals of `request` against its own slots and today's."""
    able: dict[str, frozenset[str]] = {}
    dropped: list[tuple[str, str]] = []
    accounts: set[str] = set()
    for counted in votes:
        vote = counted.vote
        if vote.verdict != "approve":
            continue
        problem = problem_of(request, counted, directory.get(vote.voter), terms)
        account = vote.account or getattr(directory.get(vote.voter), "adopted", "")
        if not problem and account in accounts:
            problem = "access.account_voted"
        if problem:
            dropped.append((vote.voter, problem))
        else:
            accounts.add(account)
            able[vote.voter] = directory[vote.voter].teams
    own = fill(request.slots, able)
    today = own if terms.slots == request.slots else fill(terms.slots, able)
    missing = list(own.missing)
    missing += [slot for slot in today.missing if slot not in missing]
    return Quorum(filled=today.filled or own.filled, missing=tuple(missing), dropped=tuple(dropped))


def problem_of(request: Request, counted: Counted, member: Member | None, terms: Terms | None) -> str:
    """The code of why a vote does not count now, or an empty text.

    What the voter is today speaks before the device that was ended: so the answer is the same whether the signature
    was verified while the device lived, and kept, or is looked at again afterwards.
    """
    if counted.problem and counted.problem != "access.voter_device_ended":
        return counted.problem
    return _problem(request, counted.vote, member, terms) or counted.problem


def _problem(request: Request, vote: Vote, member: Member | None, terms: Terms | None) -> str:
    if vote.request != request.id or vote.request_digest != request.digest:
        return "access.vote_for_another_request"
    if vote.voter == request.person:
        return "access.self_approval"
    if member is None or not member.active:
        return "access.voter_inactive"
    if not member.has(vote.account):
        return "access.voter_account_moved"
    if vote.kind == "device" and vote.device not in member.devices:
        return "access.voter_device_ended"
    signed_by = {request.vote_signature, terms.vote_signature if terms else "attested"}
    if vote.kind == "attested" and "device" in signed_by:
        return "access.attested_not_enough"
    if base_moved(request, vote.policy_digest):
        return "access.base_moved"
    if not member.teams & {slot.team for slot in (*request.slots, *(terms.slots if terms else ()))}:
        return "access.not_an_approver"
    return ""


def decide(
    request: Request,
    votes: Sequence[Counted],
    directory: Mapping[str, Member],
    terms: Terms | None,
    now: Millis,
) -> Outcome:
    """Say what `request` is now. Pure: the same arguments always give the same outcome, so a log can be replayed."""
    nothing = Quorum(filled=(), missing=request.slots, dropped=())
    if request.state != "pending":
        return Outcome(state=request.state, why=request.settled_why, quorum=nothing)
    for counted in votes:
        if counted.vote.verdict == "deny" and not counted.problem and counted.vote.request_digest == request.digest:
            return Outcome(state="denied", why=counted.vote.voter, quorum=nothing)
    if terms is None:
        return Outcome(state="invalidated", why="access.no_such_entitlement", quorum=nothing)
    moved = outgrown(request, directory.get(request.person), terms)
    if moved:
        return Outcome(state="invalidated", why=moved, quorum=nothing)
    if now >= request.lapses:
        return Outcome(state="lapsed", why="access.request_lapsed", quorum=nothing)
    quorum = weigh(request, votes, directory, terms)
    return Outcome(state="approved" if quorum.complete else "pending", quorum=quorum)


def base_moved(request: Request, in_force: str) -> str:
    """The code of why a text may not be put in force: its approvers were shown what it changes of another policy.

    Else a text that was approved early, when it changed a word, would undo what has been restricted since.
    """
    return "access.base_moved" if PUBLISH in request.actions and request.policy_digest != in_force else ""


def outgrown(request: Request, requester: Member | None, terms: Terms) -> str:
    """The code of what policy no longer allows about this request, or an empty text."""
    if requester is None or not requester.active:
        return "access.person_inactive"
    if not requester.has(request.account):
        return "access.account_moved"
    if not requester.teams & terms.eligible_teams:
        return "access.not_eligible"
    if terms.standing or not terms.reaches or not frozenset(request.actions) & terms.actions:
        return "access.policy_narrowed"
    if terms.environment != request.environment:
        return "access.environment_mismatch"
    if not set(terms.operation) <= set(request.operation):
        return "access.operation_missing"
    return ""


def stands(request: Request, votes: Sequence[Counted], directory: Mapping[str, Member], terms: Terms | None) -> str:
    """The code of why a grant of `request` no longer stands, or an empty text. Time is judged elsewhere."""
    if terms is None:
        return "access.no_such_entitlement"
    moved = outgrown(request, directory.get(request.person), terms)
    if moved:
        return moved
    quorum = weigh(request, votes, directory, terms)
    if quorum.complete:
        return ""
    return quorum.dropped[0][1] if quorum.dropped else "access.quorum_missing"
