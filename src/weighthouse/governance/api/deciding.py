"""Motions: open, answer, read. Guards the committee's word: a question that cannot change, answered by signatures.

A motion is content-addressed and names the charter under which it is decided; a new charter voids it. A ballot is a
member's signature over the motion's digest. `closing` counts and decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import paging, visible
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, Invalid, NotFound, WeighthouseError
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.governance import store
from weighthouse.governance.api import clearing, counting
from weighthouse.governance.api.charter import charter_of, check_member, check_model, digest_of
from weighthouse.governance.events import BallotCast, MotionOpened
from weighthouse.governance.model import (
    CHOICES,
    CLASSES,
    SIGN_WITHIN,
    Ballot,
    Charter,
    Count,
    Motion,
    MotionClass,
    MotionView,
    ballot_statement,
)
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

TEXT_LIMIT = 10_000
SUBJECT_LIMIT = 200
MOST_CHANGES = 100
NO_BALLOTS = Count(ballots=(), void=())


def open_motion(
    unit: Unit, caller: Caller, cls: str, subject: str, text: str, *, policy_text: str | None = None
) -> MotionView:
    """Put a question to the committee. `subject` is a hold for `lift_hold` and `hold`, a model for `release_clear`.

    With `policy_text`, a motion of the class `charter_change` is about publishing exactly that text in the place of
    the policy in force: its subject is the digest, and what the text changes is told by the server, under every
    signature. Raises Denied, `governance.unknown_class`, `governance.bad_motion`, `governance.nothing_to_lift`,
    `governance.no_such_model` or `policy.*`.
    """
    access.require(unit, caller, "committee.vote", "lab")
    charter = charter_of(unit)
    known = next((one for one in CLASSES if one == cls), None)
    check_member(unit, caller, known or "ordinary")
    if known is None:
        raise Invalid(
            "governance.unknown_class", "There is no such class of motions.", f"Choose one of {', '.join(CLASSES)}."
        )
    _check_words(subject, text)
    if known in ("lift_hold", "hold"):
        held_model(unit, subject)
    if known == "release_clear":
        check_model(unit, subject)
    base, changes = _about_text(unit, known, subject, policy_text)
    motion = Motion(
        id=new_id("mot"),
        cls=known,
        subject=subject,
        text=text,
        opened_by=str(caller.principal),
        opened_at=unit.now,
        charter=digest_of(charter),
        base=base,
        changes=changes,
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
            base=base,
        ),
    )
    return view(unit, motion, caller, charter, NO_BALLOTS)


def _check_words(subject: str, text: str) -> None:
    if not text.strip() or len(text) > TEXT_LIMIT or not subject or len(subject) > SUBJECT_LIMIT:
        raise Invalid(
            "governance.bad_motion",
            f"A motion names a subject and says in 1 to {TEXT_LIMIT} characters what is to be decided.",
            "Shorten it, or say what is missing.",
        )
    visible.check(text, "The motion")


def _about_text(unit: Unit, cls: str, subject: str, text: str | None) -> tuple[str, tuple[str, ...]]:
    """The publication that a text would replace and what it changes; nothing for a motion without one."""
    if text is None:
        return "", ()
    if cls != "charter_change" or subject != policy.digest_of(text):
        raise Invalid(
            "governance.bad_motion",
            "A motion about a policy text is of the class charter_change, and its subject is the text's digest.",
            f"Take the class charter_change and the subject {policy.digest_of(text)}.",
        )
    bundle = policy.current(unit)
    after = policy.parse(text, "lab.yaml", now=unit.now)
    policy.check_succession(bundle.lab, after)
    changes = policy.shortened(policy.difference(bundle.lab, after), MOST_CHANGES)
    return policy.base_of(bundle), tuple(changes)


def motions(unit: Unit, caller: Caller, *, subject: str | None = None, limit: int = 50) -> list[MotionView]:
    """Return the first of `motions_page`."""
    return motions_page(unit, caller, subject=subject, limit=limit).items


def motions_page(
    unit: Unit, caller: Caller, *, subject: str | None = None, cursor: str | None = None, limit: int = 50
) -> paging.Page[MotionView]:
    """Return motions, open ones first, newest first, each counted from the log. Raises Denied, also while there are
    none.

    A motion whose rows were edited is shown with its fault, and does not hide the others.
    """
    _may_read(unit, caller)
    place = paging.place_of(cursor, "motions", (int, int, str))
    asof = unit.now if place is None else int(place.key[0])
    within = None if place is None else msgspec.structs.replace(place, key=place.key[1:])
    found = store.list_motions(unit.conn, asof, subject=subject, place=within, limit=limit + 1)
    cut = paging.page(found, limit, "motions", lambda row: (asof, store.rank(row, asof), row.motion.id), place)
    return cut.of(lambda row: _counted(unit, caller, row.motion))


def motion(unit: Unit, caller: Caller, motion_id: str) -> MotionView:
    """Return one motion with its live count and what the caller would sign. Raises Denied, `governance.no_motion`."""
    _may_read(unit, caller)
    return _counted(unit, caller, _find(unit, motion_id).motion)


def _may_read(unit: Unit, caller: Caller) -> None:
    if not access.explain(unit, caller, "committee.vote", "lab").allowed:
        access.require(unit, caller, "audit.read", "lab")


def _counted(unit: Unit, caller: Caller, found: Motion) -> MotionView:
    charter = charter_of(unit)
    over = counting.closing(unit, found.id)
    if over is not None:
        return view(unit, found, caller, charter, NO_BALLOTS, over=over)
    try:
        count, fault = counting.verified_ballots(unit, found), ""
    except WeighthouseError as edited:
        return view(unit, found, caller, charter, NO_BALLOTS, fault=edited.message)
    if found.charter != digest_of(charter):
        fault = _charter_changed().message
    return view(unit, found, caller, charter, count, fault=fault)


def cast(
    unit: Unit, caller: Caller, motion_id: str, choice: str, *, digest: str, device: str, at: Millis, signature: str
) -> Ballot:
    """Cast a ballot, or recuse: `signature` is by the member's device over the statement that the motion showed.

    Raises Denied, `governance.no_voting_seat`, `identity.act_unconfirmed`, `governance.unknown_choice`,
    `governance.other_motion`, `governance.signature_stale`, `governance.already_voted`, `governance.recused`,
    `governance.closed`, `governance.charter_changed`, `identity.*`.
    """
    access.require(unit, caller, "committee.vote", "lab")
    charter = charter_of(unit)
    check_member(unit, caller, _class_of(unit, motion_id), confirmed=True)
    known = next((one for one in CHOICES if one == choice), None)
    if known is None:
        raise Invalid("governance.unknown_choice", "There is no such answer.", f"Choose one of {', '.join(CHOICES)}.")
    asked = _told(unit, motion_id, charter) if known != "for" else ""
    if digest != (asked or counting.check_motion(unit, open_under(unit, motion_id, charter))[0]):
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
    ballot = Ballot(
        motion=motion_id,
        member=member,
        choice=known,
        at=at,
        device=device,
        signature=signature,
        session=str(caller.session or ""),
        audience=identity.audience(unit.system),
    )
    _check_first(unit, ballot, digest)
    counting.check_signature(unit, ballot, digest)
    act = identity.Act(type="committee.ballot", subject=motion_id, parameters={"ballot": known, "digest": digest})
    identity.check_still_ours(unit, caller, act, device, at)
    _say_no_first(unit, caller, ballot, digest, act)
    store.lock(unit.conn, f"answer {motion_id} {member}")  # of two answers at one moment, the second is refused
    _check_first(unit, ballot, digest, remembered=True)
    identity.require_act(unit, caller, act)
    store.add_ballot(unit.conn, ballot)
    audit.append(unit, _cast(ballot, digest))
    return ballot


def _say_no_first(unit: Unit, caller: Caller, ballot: Ballot, digest: str, act: identity.Act) -> None:
    """Remember a no before a lock that somebody may hold for ever; all that could refuse it is asked by reading."""
    if ballot.choice in ("against", "recuse"):
        identity.check_act(unit, caller, act)
        access.say_for_good(unit, ballot.signature, _cast(ballot, digest))


def _check_first(unit: Unit, ballot: Ballot, digest: str, *, remembered: bool = False) -> None:
    """Raise unless this is the first answer of its member, by the log, what waits for it, and what is remembered: as
    this very one may be already. A row that nobody signed hinders nobody."""
    told = counting.told(unit, ballot.motion)
    kept = [one for one in counting.unheard(unit, ballot.motion) if not remembered or one != ballot]
    waiting = (*counting.on_the_way(unit, ballot.motion, digest, told), *kept)
    given = [one for one in (*told, *waiting) if one.member == ballot.member]
    before = counting.live(unit, given, digest)
    _check_once([one.choice for one in before.ballots if one.member not in before.void], ballot.choice)


def _class_of(unit: Unit, motion_id: str) -> MotionClass:
    """The class of a motion as the log tells it, so that no row lets somebody vote whose term is over."""
    opened = counting.OPENED.newest(unit, check_id(motion_id, "mot"))
    return "charter_change" if opened is not None and opened.data["cls"] == "charter_change" else "ordinary"


def _cast(ballot: Ballot, digest: str) -> BallotCast:
    return BallotCast(
        motion=ballot.motion,
        digest=digest,
        member=ballot.member,
        choice=ballot.choice,
        device=ballot.device,
        signed_at=ballot.at,
        signature=ballot.signature,
        session=ballot.session,
        audience=ballot.audience,
    )


def _check_once(earlier: Sequence[str], choice: str) -> None:
    if "recuse" in earlier:
        raise recused("You have recused yourself from this motion, which is final.")
    if earlier and choice != "recuse":
        raise Conflict(
            "governance.already_voted", "You have answered this motion; an answer is final.", "Open a new motion."
        )


def held_model(unit: Unit, hold_id: str) -> str:
    """Return the model that a standing release hold is on; raise `governance.nothing_to_lift`."""
    for hold in access.holds(unit):
        if hold.id == hold_id and hold.kind == "governance":
            return str(hold.subject)
    raise NotFound(
        "governance.nothing_to_lift",
        "There is no release hold with this id.",
        "Ask for the status of the release; it names the hold.",
    )


def _find(unit: Unit, motion_id: str, *, lock: bool = False) -> store.MotionRow:
    row = store.find_motion(unit.conn, check_id(motion_id, "mot"), lock=lock)
    if row is None:
        raise NotFound(
            "governance.no_motion", "There is no motion with this id.", "List the motions and copy the id."
        )
    return row


def _told(unit: Unit, motion_id: str, charter: Charter) -> str:
    """Return the digest of a motion that is open by the log, for whoever says no to it: no row keeps them from it.

    Empty where the log does not tell of it, as it may not yet of one opened a moment ago.
    """
    opened = counting.OPENED.of(unit, check_id(motion_id, "mot"), limit=2)
    if len(opened) != 1:
        return ""
    if counting.closing(unit, motion_id) is not None:
        raise closed()
    if opened[0].data["charter"] != digest_of(charter):
        raise _charter_changed()
    return str(opened[0].data["digest"])


def open_under(unit: Unit, motion_id: str, charter: Charter) -> Motion:
    """Return a motion that is open under this charter, its row locked; raise Conflict otherwise."""
    row = _find(unit, motion_id, lock=True)
    if row.closed_at is not None or counting.closing(unit, motion_id) is not None:
        raise closed()
    if row.motion.charter != digest_of(charter):
        raise _charter_changed()
    return row.motion


def _charter_changed() -> Conflict:
    return Conflict(
        "governance.charter_changed",
        "The charter has changed since this motion was opened, so its ballots no longer count.",
        "Open the motion again under the charter in force.",
    )


def recused(why: str) -> Conflict:
    """Return the refusal for who has stepped back."""
    return Conflict(
        "governance.recused",
        why,
        "Nothing is needed; the others decide without you. If it was not you, end the session that it was given in.",
    )


def closed() -> Conflict:
    """Return the refusal for a motion that has been decided."""
    return Conflict("governance.closed", "This motion is closed.", "Open a new motion to decide otherwise.")


def members(ballots: Sequence[Ballot]) -> tuple[str, ...]:
    """Return who has answered."""
    return tuple(sorted({one.member for one in ballots}))


def view(
    unit: Unit,
    motion: Motion,
    caller: Caller,
    charter: Charter,
    count: Count,
    *,
    fault: str = "",
    over: audit.Entry | None = None,
) -> MotionView:
    """Return a motion as the caller sees it; `over` is the fact of its closing, whose count is then shown."""
    digest, ballots = counting.digest_of(motion), count.ballots
    seats, bars = access.seating(unit), clearing.unproven(unit, motion) if over is None else clearing.Unproven()
    tally = policy.tally(seats, motion.cls, ballots, criticals=len(bars))
    open_, answer_by = over is None and not fault, motion.opened_at + charter.answer_within
    settled = unit.sure >= answer_by or policy.settled(seats, motion.cls, ballots, criticals=len(bars.missed))
    may_vote = open_ and caller.principal in seats.able(motion.cls)
    return MotionView(
        motion=motion,
        digest=digest,
        tally=tally if over is None else counting.recorded(over),
        voted=members(ballots) if over is None else tuple(over.data["voted"]),
        void=count.void,
        waiting=policy.waiting(seats, motion.cls, ballots) if open_ else (),
        closable=open_ and tally.quorate and settled and not clearing.waits(seats, motion, ballots, bars),
        answer_by=answer_by,
        fault=fault,
        unproven=bars.words(),
        closed_at=over.at if over else None,
        outcome=over.data["outcome"] if over else None,
        statement=_to_sign(unit, digest, str(caller.principal)) if may_vote else {},
        expires=unit.now + SIGN_WITHIN,
    )


def _to_sign(unit: Unit, digest: str, member: str) -> dict[str, Any]:
    return ballot_statement(digest, member, "", "", unit.now, audience=identity.audience(unit.system))
