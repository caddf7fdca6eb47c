"""Motions: open, answer, close. Guards the committee's word: nothing is decided below quorum or by unsigned ballots.

A motion is content-addressed and names the charter under which it is decided; a new charter voids it. A ballot is a
member's signature over the motion's digest. Closing counts again from scratch; to lift a hold, the signed ballots
themselves go to access, which counts them once more before it lifts anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.access import api as access
from weighthouse.assurance import api as assurance
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, Invalid, NotFound
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.governance import store
from weighthouse.governance.api import counting
from weighthouse.governance.api.charter import charter_of, check_member, digest_of
from weighthouse.governance.events import BallotCast, HoldLifted, MotionClosed, MotionOpened
from weighthouse.governance.model import (
    CHOICES,
    CLASSES,
    SIGN_WITHIN,
    Ballot,
    Charter,
    Motion,
    MotionView,
    Outcome,
    Tally,
    ballot_statement,
)
from weighthouse.governance.rules import quorum

TEXT_LIMIT = 10_000
SUBJECT_LIMIT = 200


def open_motion(unit: Unit, caller: Caller, cls: str, subject: str, text: str) -> MotionView:
    """Put a question to the committee. `subject` is a hold for `lift_hold` and `hold`, a model for `release_clear`.

    Raises Denied, `governance.unknown_class`, `governance.bad_motion` or `governance.nothing_to_lift`.
    """
    access.require(unit, caller, "committee.vote", "lab")
    charter = charter_of(unit)
    check_member(unit, caller, charter)
    known = next((one for one in CLASSES if one == cls), None)
    if known is None:
        raise Invalid(
            "governance.unknown_class", "There is no such class of motions.", f"Choose one of {', '.join(CLASSES)}."
        )
    if not text.strip() or len(text) > TEXT_LIMIT or not subject or len(subject) > SUBJECT_LIMIT:
        raise Invalid(
            "governance.bad_motion",
            f"A motion names a subject and says in 1 to {TEXT_LIMIT} characters what is to be decided.",
            "Shorten it, or say what is missing.",
        )
    if known in ("lift_hold", "hold"):
        _held_model(unit, subject)
    motion = Motion(
        id=new_id("mot"),
        cls=known,
        subject=subject,
        text=text,
        opened_by=str(caller.principal),
        opened_at=unit.now,
        charter=digest_of(charter),
    )
    digest = counting.digest_of(motion)
    store.add_motion(unit.conn, motion)
    audit.append(
        unit,
        MotionOpened(
            motion=motion.id,
            cls=known,
            about=subject,
            digest=digest,
            charter=motion.charter,
            opened_by=motion.opened_by,
        ),
    )
    return _view(unit, motion, digest, charter, [], caller, quorum.tally(charter, known, []))


def motions(unit: Unit, caller: Caller, *, subject: str | None = None) -> list[MotionView]:
    """Return motions, newest first, each counted from the log. Raises Denied, also while there are none."""
    _may_read(unit, caller)
    return [_counted(unit, caller, row.motion) for row in store.list_motions(unit.conn, subject=subject, limit=50)]


def motion(unit: Unit, caller: Caller, motion_id: str) -> MotionView:
    """Return one motion with its live count and what the caller would sign. Raises Denied, `governance.no_motion`."""
    _may_read(unit, caller)
    return _counted(unit, caller, _find(unit, motion_id).motion)


def _may_read(unit: Unit, caller: Caller) -> None:
    if not access.explain(unit, caller, "committee.vote", "lab").allowed:
        access.require(unit, caller, "audit.read", "lab")


def _counted(unit: Unit, caller: Caller, found: Motion) -> MotionView:
    charter = charter_of(unit)
    ballots = counting.verified_ballots(unit, found)
    count = quorum.tally(charter, found.cls, ballots, criticals=_criticals(unit, found))
    over = counting.closing(unit, found.id)
    return _view(
        unit,
        found,
        counting.digest_of(found),
        charter,
        ballots,
        caller,
        count,
        closed_at=over.at if over else None,
        outcome=over.data["outcome"] if over else None,
    )


def cast(
    unit: Unit, caller: Caller, motion_id: str, choice: str, *, digest: str, device: str, at: Millis, signature: str
) -> Ballot:
    """Cast a ballot, or recuse: `signature` is by the member's device over the statement that the motion showed.

    Raises Denied, `governance.no_voting_seat`, `governance.step_up_needed`, `governance.unknown_choice`,
    `governance.other_motion`, `governance.signature_stale`, `governance.already_voted`, `governance.recused`,
    `governance.closed`, `governance.charter_changed`, `identity.*`.
    """
    access.require(unit, caller, "committee.vote", "lab")
    charter = charter_of(unit)
    check_member(unit, caller, charter)
    known = next((one for one in CHOICES if one == choice), None)
    if known is None:
        raise Invalid("governance.unknown_choice", "There is no such answer.", f"Choose one of {', '.join(CHOICES)}.")
    found = _open(unit, motion_id, charter)
    if digest != counting.check_motion(unit, found)[0]:
        raise Conflict(
            "governance.other_motion",
            "The ballot is about another text than this motion has.",
            "Open the motion again and sign exactly what it shows.",
        )
    if not unit.now - SIGN_WITHIN <= at <= unit.now:
        raise Conflict(
            "governance.signature_stale",
            "The ballot was not signed within the last 15 minutes.",
            "Open the motion again and sign it now.",
        )
    member = str(caller.principal)
    _check_once([one.choice for one in store.ballots_on(unit.conn, found.id) if one.member == member], known)
    ballot = Ballot(motion=found.id, member=member, choice=known, at=at, device=device, signature=signature)
    counting.check_signature(unit, ballot, digest)
    store.add_ballot(unit.conn, ballot)
    audit.append(
        unit,
        BallotCast(
            motion=found.id,
            digest=digest,
            member=member,
            choice=known,
            device=device,
            signed_at=at,
            signature=signature,
        ),
    )
    return ballot


def _check_once(earlier: Sequence[str], choice: str) -> None:
    if "recuse" in earlier:
        raise Conflict(
            "governance.recused", "You have recused yourself from this motion, which is final.", "Nothing is needed."
        )
    if earlier and choice != "recuse":
        raise Conflict(
            "governance.already_voted", "You have answered this motion; an answer is final.", "Open a new motion."
        )


def close(unit: Unit, caller: Caller, motion_id: str) -> MotionView:
    """Count, decide and close. A carried motion to lift a hold lifts it in the same transaction.

    Raises Denied, `governance.no_quorum` (nothing changes), `governance.closed`, `governance.charter_changed`,
    `governance.rows_edited`.
    """
    access.require(unit, caller, "committee.vote", "lab")
    charter = charter_of(unit)
    check_member(unit, caller, charter)
    found = _open(unit, motion_id, charter)
    ballots = counting.verified_ballots(unit, found)
    count = quorum.tally(charter, found.cls, ballots, criticals=_criticals(unit, found))
    if not count.quorate:
        raise Conflict(
            "governance.no_quorum",
            f"There is no quorum: it lacks {quorum.lacks(count)}.",
            "Ask the other members for their ballots; nothing was changed.",
        )
    outcome: Outcome = "carried" if count.carried else "lost"
    if found.cls == "lift_hold" and outcome == "carried":
        _lift(unit, caller, found, ballots)
    if not store.close_motion(unit.conn, found.id, unit.now, outcome):
        raise _closed()
    digest = counting.digest_of(found)
    audit.append(unit, _closing(found, digest, outcome, count))
    return _view(unit, found, digest, charter, ballots, caller, count, closed_at=unit.now, outcome=outcome)


def _lift(unit: Unit, caller: Caller, motion: Motion, ballots: Sequence[Ballot]) -> None:
    model = _held_model(unit, motion.subject)
    recused = {one.member for one in ballots if one.choice == "recuse"}
    authority = access.Authority(
        motion=motion.statement(),
        ballots=tuple(
            access.AuthorityBallot(voter=one.member, device=one.device, at=one.at, signature=one.signature)
            for one in ballots
            if one.choice == "for" and one.member not in recused
        ),
    )
    access.lift_hold(unit, caller, motion.subject, f"committee decision {motion.id}", authority=authority)
    audit.append(unit, HoldLifted(hold=motion.subject, model=model, motion=motion.id))


def _closing(motion: Motion, digest: str, outcome: str, count: Tally) -> MotionClosed:
    return MotionClosed(
        motion=motion.id,
        cls=motion.cls,
        about=motion.subject,
        digest=digest,
        charter=motion.charter,
        outcome=outcome,
        rule=count.rule,
        seats=count.seats,
        present=count.present,
        independent_present=count.independent_present,
        votes_for=count.votes_for,
        votes_against=count.votes_against,
        recused=count.recused,
    )


def _held_model(unit: Unit, hold_id: str) -> str:
    for hold in access.holds(unit):
        if hold.id == hold_id and hold.kind == "governance":
            return str(hold.subject)
    raise NotFound(
        "governance.nothing_to_lift",
        "There is no release hold with this id.",
        "Ask for the status of the release; it names the hold.",
    )


def _criticals(unit: Unit, motion: Motion) -> int:
    """Return how many attacks of the catalogue were missed when last run: they bar clearing a release."""
    return len(assurance.missed(unit)) if motion.cls == "release_clear" else 0


def _find(unit: Unit, motion_id: str, *, lock: bool = False) -> store.MotionRow:
    row = store.find_motion(unit.conn, check_id(motion_id, "mot"), lock=lock)
    if row is None:
        raise NotFound(
            "governance.no_motion", "There is no motion with this id.", "List the motions and copy the id."
        )
    return row


def _open(unit: Unit, motion_id: str, charter: Charter) -> Motion:
    row = _find(unit, motion_id, lock=True)
    if row.closed_at is not None or counting.closing(unit, motion_id) is not None:
        raise _closed()
    if row.motion.charter != digest_of(charter):
        raise Conflict(
            "governance.charter_changed",
            "The charter has changed since this motion was opened, so its ballots no longer count.",
            "Open the motion again under the charter in force.",
        )
    return row.motion


def _closed() -> Conflict:
    return Conflict("governance.closed", "This motion is closed.", "Open a new motion to decide otherwise.")


def _view(
    unit: Unit,
    motion: Motion,
    digest: str,
    charter: Charter,
    ballots: Sequence[Ballot],
    caller: Caller,
    count: Tally,
    *,
    closed_at: Millis | None = None,
    outcome: Outcome | None = None,
) -> MotionView:
    may_vote = caller.principal in charter.voting and closed_at is None
    return MotionView(
        motion=motion,
        digest=digest,
        tally=count,
        voted=tuple(sorted({one.member for one in ballots})),
        closed_at=closed_at,
        outcome=outcome,
        statement=ballot_statement(digest, str(caller.principal), "", "", unit.now) if may_vote else {},
        expires=unit.now + SIGN_WITHIN,
    )
