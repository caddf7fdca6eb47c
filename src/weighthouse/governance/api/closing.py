"""Closing a motion. Guards a decision from a count that is too small, too early, or of edited rows.

Closing counts again from scratch, from the log; to lift a hold, the signed ballots themselves go to access, which
counts them once more before it lifts anything.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict
from weighthouse.core.work import Unit
from weighthouse.governance import store
from weighthouse.governance.api import clearing, counting
from weighthouse.governance.api.charter import charter_of, check_member
from weighthouse.governance.api.deciding import (
    closed,
    held_model,
    members,
    open_under,
    recused,
    view,
)
from weighthouse.governance.events import HoldLifted, MotionClosed
from weighthouse.governance.model import Ballot, Charter, Count, Motion, MotionView, Outcome
from weighthouse.policy import api as policy


def close(unit: Unit, caller: Caller, motion_id: str) -> MotionView:
    """Count, decide and close. A carried motion to lift a hold lifts it in the same transaction.

    Any member who has not recused may close, for the one who closes decides nothing: it is refused while somebody who
    has not answered could still change the outcome, until the charter's time to answer is over.

    Raises Denied, `governance.no_quorum` (nothing changes), `governance.not_settled`, `governance.recused`,
    `governance.release_not_tested`, `governance.no_such_model`, `governance.closed`, `governance.charter_changed`,
    `governance.rows_edited`.
    """
    access.require(unit, caller, "committee.vote", "lab")
    charter, seats = charter_of(unit), access.seating(unit)
    found = open_under(unit, motion_id, charter)
    check_member(unit, caller, found.cls)
    ballots = counting.verified_ballots(unit, found).ballots
    bars = clearing.unproven(unit, found)
    count = policy.tally(seats, found.cls, ballots, criticals=len(bars))
    if caller.principal in count.recused:
        raise recused("You have recused yourself from this motion, so you do not close it either.")
    if not count.quorate:
        raise Conflict(
            "governance.no_quorum",
            f"There is no quorum: it lacks {policy.lacks(count)}.",
            "Ask the other members for their ballots; nothing was changed.",
        )
    _check_settled(unit, charter, seats, found, ballots, len(bars.missed))
    clearing.check(unit, seats, found, ballots, bars)
    outcome: Outcome = "carried" if count.carried else "lost"
    if found.cls == "lift_hold" and outcome == "carried":
        _lift(unit, caller, found, ballots)
    if not store.close_motion(unit.conn, found.id, unit.now, outcome):
        raise closed()
    closing = _closing(found, outcome, count, ballots, str(caller.principal))
    audit.append(unit, closing)
    shown = view(unit, found, caller, charter, Count(ballots=ballots, void=()))
    return msgspec.structs.replace(
        shown, closed_at=unit.now, outcome=outcome, closable=False, waiting=(), statement={}
    )


def _check_settled(
    unit: Unit,
    charter: Charter,
    seats: policy.Seating,
    motion: Motion,
    ballots: Sequence[Ballot],
    criticals: int,
) -> None:
    until = motion.opened_at + charter.answer_within
    if unit.sure >= until or policy.settled(seats, motion.cls, ballots, criticals=criticals):
        return
    raise Conflict(
        "governance.not_settled",
        f"{', '.join(policy.waiting(seats, motion.cls, ballots))} may still answer and could change the outcome.",
        f"Wait for the answers, or until {_utc(until)}, when the time to answer is over.",
    )


def _lift(unit: Unit, caller: Caller, motion: Motion, ballots: Sequence[Ballot]) -> None:
    model = held_model(unit, motion.subject)
    authority = access.Authority(
        motion=motion.statement(),
        ballots=tuple(
            access.AuthorityBallot(
                voter=one.member,
                device=one.device,
                at=one.at,
                signature=one.signature,
                choice=one.choice,
                session=one.session,
                audience=one.audience,
            )
            for one in ballots
        ),
    )
    access.lift_hold(unit, caller, motion.subject, f"committee decision {motion.id}", authority=authority)
    audit.append(unit, HoldLifted(hold=motion.subject, model=model, motion=motion.id))


def _closing(
    motion: Motion, outcome: str, count: policy.Tally, ballots: Sequence[Ballot], closed_by: str
) -> MotionClosed:
    return MotionClosed(
        motion=motion.id,
        cls=motion.cls,
        about=motion.subject,
        digest=counting.digest_of(motion),
        charter=motion.charter,
        outcome=outcome,
        rule=count.rule,
        seats=count.seats,
        present=count.present,
        needed=count.needed,
        independent_present=count.independent_present,
        independent_needed=count.independent_needed,
        votes_for=count.votes_for,
        votes_needed=count.votes_needed,
        votes_against=count.votes_against,
        voted=members(ballots),
        recused=count.recused,
        closed_by=closed_by,
    )


def _utc(at: Millis) -> str:
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
