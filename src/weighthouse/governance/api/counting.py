"""Counting a motion from the log. Guards a decision from whoever can write rows of the database.

The log's entries hash to a signed root and carry each signed ballot whole. The count verifies every signature again,
by the member's live and certified device, and refuses when rows and log tell different stories.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import NoReturn

from weighthouse.audit import api as audit
from weighthouse.core import canonical
from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.core.work import Unit
from weighthouse.governance import store
from weighthouse.governance.model import Ballot, Motion, ballot_statement
from weighthouse.identity import api as identity

PAGE = 500
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{86}")


def digest_of(motion: Motion) -> str:
    """Return the digest that ballots on this motion name."""
    return canonical.digest(motion.statement())


def _refuse(what: str) -> NoReturn:
    raise Unavailable(
        "governance.rows_edited",
        f"The stored motion and the log tell different stories: {what}. Nothing is decided by it.",
        "If it was opened or answered a moment ago, try again; otherwise find out who wrote to the database.",
    )


def check_motion(unit: Unit, motion: Motion) -> tuple[str, int]:
    """Return the motion's digest and the index of its opening, if the log tells of exactly this motion."""
    digest = digest_of(motion)
    opened = [
        one
        for one in audit.entries(unit, kind="governance.MotionOpened", subject=motion.id, limit=2)
        if one.kind == "governance.MotionOpened" and one.data["digest"] == digest
    ]
    if len(opened) != 1:
        _refuse("the motion is not the one that was opened")
    return digest, opened[0].index


def verified_ballots(unit: Unit, motion: Motion) -> list[Ballot]:
    """Return every ballot on a motion, from the log, each signature checked again.

    Reads every entry since the motion was opened, for the columns that would find ballots faster can be edited to
    hide one. Raises `governance.rows_edited` when rows or entries were edited, added or removed, and `identity.*`
    when a signature does not hold, for instance because the member's device was ended since.
    """
    digest, opened = check_motion(unit, motion)
    found = []
    for entry in _since(unit, opened):
        if entry.kind != "governance.BallotCast" or entry.data["motion"] != motion.id:
            continue
        data = entry.data
        found.append(
            Ballot(
                motion=motion.id,
                member=data["member"],
                choice=data["choice"],
                at=data["signed_at"],
                device=data["device"],
                signature=data["signature"],
            )
        )
        check_signature(unit, found[-1], digest)
    if sorted(map(_identity, found)) != sorted(map(_identity, store.ballots_on(unit.conn, motion.id))):
        _refuse("the ballots are not those that were cast")
    return found


def check_signature(unit: Unit, ballot: Ballot, digest: str) -> None:
    """Raise `identity.*` unless the ballot is signed by its member's live device over exactly this motion."""
    statement = ballot_statement(digest, ballot.member, ballot.choice, ballot.device, ballot.at)
    identity.verify_device_signature(
        unit, ballot.device, ballot.member, canonical.encode(statement), raw_signature(ballot.signature)
    )


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
    found = audit.entries(unit, kind="governance.MotionClosed", subject=motion_id, limit=1)
    return found[0] if found and found[0].data["motion"] == motion_id else None


def _since(unit: Unit, start: int) -> Iterator[audit.Entry]:
    size = audit.head(unit).size
    while start < size:
        page = audit.entries(unit, start=start, limit=PAGE)
        if [one.index for one in page] != list(range(start, min(start + PAGE, size))):
            _refuse("an entry of the log is missing")
        yield from page
        start += len(page)


def _identity(ballot: Ballot) -> tuple[str | int, ...]:
    return (ballot.motion, ballot.member, ballot.choice, ballot.device, ballot.at, ballot.signature)
