"""Counting a motion from the log. Guards a decision from whoever can write rows of the database.

The log's entries hash to a signed root and carry each signed ballot whole. The count verifies every signature again,
by the member's live and certified device. A row that tells another story than the log is told of, and counts for
nothing; the row of the motion itself must be the one that was opened.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import canonical
from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import Invalid, Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit
from weighthouse.governance import store
from weighthouse.governance.events import BallotCast, MotionClosed, MotionOpened, RowsEdited, TamperFound
from weighthouse.governance.model import SIGN_WITHIN, Ballot, Count, Motion, ballot_statement
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

# Of other rooms by name. All are found by what the log says, never by a column, which can be edited to hide a line.
OPENED = audit.Lines(MotionOpened.KIND)
_CLOSED = audit.Lines(MotionClosed.KIND)
_BALLOTS = audit.Lines(BallotCast.KIND)
_ENDED = audit.Lines("identity.DeviceEnded")
_ENROLLED = audit.Lines("identity.DeviceEnrolled")
_TAMPERED = audit.Lines(TamperFound.KIND)
LATE: Millis = MINUTE
"""For longer no line waits for the log: decisions close before."""
_spoken: WeakKeyDictionary[System, set[str]] = WeakKeyDictionary()
access.declare(BallotCast, by="signature")
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{86}")


def digest_of(motion: Motion) -> str:
    """Return the digest that ballots on this motion name."""
    return canonical.digest(motion.statement())


def _refuse(motion: str, what: str) -> NoReturn:
    raise _edited(what, RowsEdited(motion=motion, what=what))


def _edited(what: str, *lines: RowsEdited) -> Unavailable:
    return Unavailable(
        "governance.rows_edited",
        f"The stored motion and the log tell different stories: {what}. Nothing is decided by it.",
        "If it was opened or answered a moment ago, try again; otherwise find out who wrote to the database.",
        record=lines,
    )


def check_motion(unit: Unit, motion: Motion) -> tuple[str, int]:
    """Return the motion's digest and the index of its opening, if the log tells of exactly this motion."""
    digest = digest_of(motion)
    opened = [one for one in OPENED.of(unit, motion.id, limit=2) if one.data["digest"] == digest]
    if len(opened) != 1:
        _refuse(motion.id, "the motion is not the one that was opened")
    return digest, opened[0].index


def verified_ballots(unit: Unit, motion: Motion) -> Count:
    """Return every ballot on a motion, from the log, each signature checked again.

    A ballot falls with the device that signed it, and with the session that it was cast in: whoever lost a laptop
    ends it, answers again from another one, and what a thief may have signed counts for nothing. Raises
    `governance.rows_edited` when the motion's row was edited, or a ballot has yet to reach the log, and
    `identity.bad_signature`.
    """
    digest, opened = check_motion(unit, motion)
    cast = told(unit, motion.id, start=opened)
    waiting = (said["motion"] for said in audit.on_its_way(unit, BallotCast.KIND))
    waits = motion.id in waiting or unheard(unit, motion.id)
    if waits or on_the_way(unit, motion.id, digest, cast):
        raise _edited("the log does not tell yet of a ballot that was cast")
    return live(unit, cast, digest)


def told(unit: Unit, motion_id: str, *, start: int = 0) -> list[Ballot]:
    """Return the ballots on a motion of which the log tells."""
    return [_ballot(entry.data) for entry in _BALLOTS.of(unit, motion_id, start=start)]


def _ballot(said: Mapping[str, Any]) -> Ballot:
    return Ballot(
        motion=said["motion"],
        member=said["member"],
        choice=said["choice"],
        at=said["signed_at"],
        device=said["device"],
        signature=said["signature"],
        session=said.get("session", ""),
        audience=said.get("audience", ""),
    )


def unheard(unit: Unit, motion_id: str) -> list[Ballot]:
    """Return the answers that do not open anything and that this server has taken, while the log lacks them.

    Attack: stall the sequencer, delete the row of a recusal that its member was told of, and close the motion.
    """
    return [_ballot(said) for said in access.unheard(unit, BallotCast.KIND, "motion", motion_id)]


def on_the_way(unit: Unit, motion_id: str, digest: str, cast: Sequence[Ballot]) -> list[Ballot]:
    """Return what the rows hold beyond the log that may be a ballot of a moment ago; on PostgreSQL it follows soon.

    Attack: one row of garbage, and nobody's answer counts any more. So a row that cannot be read, that nobody signed,
    or that is missing is told of once and asked no further: what counts stands in the log.
    """
    known, rows = set(map(_identity, cast)), store.ballots_on(unit.conn, motion_id)
    strange = [one for one in rows if one is None or _identity(one) not in known]
    signed = set(map(_signed, cast))  # another spelling of a signature, or another session, is no other ballot
    ours = [one for one in strange if one is not None and _signed(one) not in signed]
    fresh = [one for one in ours if _is_fresh(unit, one, digest)]
    kept = {_identity(one) for one in rows if one is not None}
    hidden = (one for one in cast if _identity(one) not in kept)  # one that fell has perhaps made room for another
    if len(fresh) < len(strange) or any(_stands(unit, one, digest) for one in hidden):
        _tell(unit, motion_id)
    return fresh


def _is_fresh(unit: Unit, ballot: Ballot, digest: str) -> bool:
    """Whether its member signed this just now, for this server, by a device of which the log knows no end."""
    if ballot.audience != identity.audience(unit.system):
        return False
    if not unit.sure - SIGN_WITHIN - LATE <= ballot.at <= unit.now:
        return False
    try:
        check_signature(unit, ballot, digest)
    except WeighthouseError as error:
        gone = error.code == "identity.device_unknown"
        enrolled = gone and _ENROLLED.any(unit, ballot.device) and not _ENDED.any(unit, ballot.device)
        return enrolled or error.code == "identity.key_young"
    return True


def _tell(unit: Unit, motion_id: str) -> None:
    """Leave one line for a motion: whoever writes one such row may write a thousand."""
    spoken = _spoken.setdefault(unit.system, set())
    if unit.read_only or motion_id in spoken or ("tamper", motion_id) in unit.memo or _TAMPERED.any(unit, motion_id):
        return
    unit.memo["tamper", motion_id] = True
    audit.append(unit, TamperFound(what=motion_id, code="governance.ballot_row"))
    unit.after_commit(lambda: spoken.add(motion_id))


def live(unit: Unit, cast: Sequence[Ballot], digest: str) -> Count:
    """Split ballots, in the order in which they were cast, into those that count and the members whose ballot fell
    since, who may answer again."""
    ballots, void = policy.heard(cast, lambda one: _stands(unit, one, digest))
    return Count(ballots=ballots, void=void)


def _stands(unit: Unit, ballot: Ballot, digest: str) -> bool:
    """Whether a ballot still counts: its device signs, and its session is not disowned.

    A recusal outlives a device that its member retires, for to part with a laptop is no way back to the table; it
    falls with its session like any other answer, and so with a key that is ended as stolen, for a thief who steps
    back in a member's name takes their "no" and lowers what is needed.
    """
    gone = young = False
    try:
        check_signature(unit, ballot, digest)
    except WeighthouseError as error:
        if error.code not in ("identity.device_unknown", "identity.key_young"):
            raise
        gone, young = True, error.code == "identity.key_young"
        known = young or identity.gone_by_rule(unit, ballot.member, ballot.device)
        if not known and not _ENDED.any(unit, ballot.device):
            _refuse(ballot.motion, f"the device of {ballot.member} is gone, and nobody ended it")
    if young or (gone and ballot.choice != "recuse"):
        return False
    return not identity.disowned(unit, ballot.member, ballot.session, ballot.at)


def recorded(entry: audit.Entry) -> policy.Tally:
    """Return the count that decided, as the fact of the closing tells it."""
    data = entry.data
    return policy.Tally(
        seats=data["seats"],
        present=data["present"],
        needed=data["needed"],
        votes_needed=data["votes_needed"],
        independent_present=data["independent_present"],
        independent_needed=data["independent_needed"],
        votes_for=data["votes_for"],
        votes_against=data["votes_against"],
        abstained=data["present"] - data["votes_for"] - data["votes_against"],
        recused=tuple(data["recused"]),
        quorate=True,
        carried=data["outcome"] == "carried",
        rule=data["rule"],
    )


def check_signature(unit: Unit, ballot: Ballot, digest: str) -> None:
    """Raise `identity.*` unless the ballot is signed over exactly this motion, here, by its member's live
    device, which counted when it signed."""
    signed, bare = (_statement(ballot, digest, one) for one in (ballot.audience, ""))
    signature = raw_signature(ballot.signature)
    identity.verify_device_signature(unit, ballot.device, ballot.member, signed, signature, before=bare, at=ballot.at)


def _statement(ballot: Ballot, digest: str, audience: str) -> bytes:
    said = ballot_statement(digest, ballot.member, ballot.choice, ballot.device, ballot.at, audience=audience)
    return canonical.encode(said)


def raw_signature(text: str) -> bytes:
    """Return the 64 bytes of a base64url signature without padding; raise `governance.bad_signature_form`."""
    if not _SIGNATURE.fullmatch(text):
        raise Invalid(
            "governance.bad_signature_form",
            "A signature is 86 characters of base64url: ES256, raw r and s.",
            "Sign with the device's P-256 key and send the 64 raw bytes, without padding.",
        )
    return base64.urlsafe_b64decode(text + "==")


def closing(unit: Unit, motion_id: str) -> audit.Entry | None:
    """Return the fact of a motion's closing, from the log, or None while it is open."""
    return next(iter(_CLOSED.of(unit, motion_id, limit=1)), None)


def _signed(ballot: Ballot) -> tuple[str | int, ...]:
    return (ballot.motion, ballot.member, ballot.choice, ballot.device, ballot.at)


def _identity(ballot: Ballot) -> tuple[str | int, ...]:
    return (*_signed(ballot), ballot.signature, ballot.session, ballot.audience)
