"""Tables and queries of governance. Convenience, not authority: what decides is read from the log and checked again.

A writer of these rows can hide a motion from a list or make it undecidable; they cannot change what was asked, add an
answer, drop one, or shrink a quorum, for what counts are the signed ballots in the log. A row of a ballot says only
that one may be on its way there.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    RowMapping,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy import update as change

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata
from weighthouse.core.errors import Unavailable
from weighthouse.core.keyset import ordered
from weighthouse.core.paging import Place
from weighthouse.governance.model import Ballot, Motion

motions = Table(
    "governance_motion",
    metadata,
    Column("id", Text, primary_key=True),
    Column("cls", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("motion", Text, nullable=False),
    Column("closed_at", BigInteger),
    Column("outcome", Text),
    Index("ix_governance_motion_subject", "subject"),
)

ballots = Table(
    "governance_ballot",
    metadata,
    Column("motion", Text, primary_key=True),
    Column("member", Text, primary_key=True),
    Column("choice", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("ballot", Text, nullable=False),
)

releases = Table(
    "governance_release",
    metadata,
    Column("hold", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("called_by", Text, nullable=False),
    Column("ratify_by", BigInteger, nullable=False),
    Index("ix_governance_release_model", "model"),
)


class MotionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A motion with what became of it, as the row says. In a list, one that cannot be read has no charter."""

    motion: Motion
    closed_at: Millis | None
    outcome: str | None


def _decode(text: str) -> Motion:
    try:
        return msgspec.json.decode(text, type=Motion)
    except msgspec.DecodeError:
        raise Unavailable(
            "governance.row_unreadable",
            "A stored motion cannot be read: somebody has edited its row.",
            "Compare with the log, which holds the truth, and find out who wrote to the database.",
        ) from None


def add_motion(conn: Connection, motion: Motion) -> None:
    """Record an opened motion."""
    conn.execute(
        insert(motions).values(
            id=motion.id,
            cls=motion.cls,
            subject=motion.subject,
            opened_at=motion.opened_at,
            motion=msgspec.json.encode(motion).decode(),
            closed_at=None,
            outcome=None,
        )
    )


def find_motion(conn: Connection, motion_id: str, *, lock: bool = False) -> MotionRow | None:
    """Return a motion, its row locked when asked (PostgreSQL), so that two closings are one after the other."""
    query = select(motions).where(motions.c.id == motion_id)
    row = conn.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        return None
    motion = _decode(row["motion"])
    return MotionRow(motion=motion, closed_at=row["closed_at"], outcome=row["outcome"])


def list_motions(
    conn: Connection, asof: Millis, *, subject: str | None = None, place: Place | None = None, limit: int = 100
) -> list[MotionRow]:
    """Return motions from `place` on: those open at `asof` first, newest first. Ids sort by the time of opening."""
    stood = or_(motions.c.closed_at.is_(None), motions.c.closed_at > asof)
    query = ordered(select(motions), ((case((stood, 0), else_=1), False), (motions.c.id, True)), place)
    if subject is not None:
        query = query.where(motions.c.subject == subject)
    return [
        MotionRow(motion=_readable(row), closed_at=row["closed_at"], outcome=row["outcome"])
        for row in conn.execute(query.limit(limit)).mappings()
    ]


def rank(row: MotionRow, asof: Millis) -> int:
    """Where a motion stands: 0 while it was open at `asof`."""
    return 0 if row.closed_at is None or row.closed_at > asof else 1


def _readable(row: RowMapping) -> Motion:
    """Return the motion of a row; one edited row must not take the others off the list."""
    try:
        return _decode(row["motion"])
    except Unavailable as unreadable:
        return Motion(
            id=row["id"], cls="ordinary", subject=row["subject"], text=unreadable.message, opened_by="",
            opened_at=row["opened_at"], charter="",
        )  # fmt: skip


def carried(conn: Connection, cls: str, subject: str) -> list[str]:
    """Return the motions of this class about this subject that the rows call carried; the log has the last word."""
    query = select(motions.c.id).where(
        motions.c.cls == cls, motions.c.subject == subject, motions.c.outcome == "carried"
    )
    return [str(row[0]) for row in conn.execute(query)]


def close_motion(conn: Connection, motion_id: str, at: Millis, outcome: str) -> bool:
    """Mark a motion closed; return False if it was closed before."""
    done = conn.execute(
        change(motions)
        .where(motions.c.id == motion_id, motions.c.closed_at.is_(None))
        .values(closed_at=at, outcome=outcome)
    )
    return done.rowcount == 1


def add_ballot(conn: Connection, ballot: Ballot) -> None:
    """Record a ballot; a member's same answer from one device exists once, in the place of what a row may hold."""
    key = (ballots.c.motion == ballot.motion, ballots.c.member == ballot.member)
    conn.execute(delete(ballots).where(*key, ballots.c.choice == ballot.choice, ballots.c.device == ballot.device))
    conn.execute(
        insert(ballots).values(
            motion=ballot.motion,
            member=ballot.member,
            choice=ballot.choice,
            device=ballot.device,
            ballot=msgspec.json.encode(ballot).decode(),
        )
    )


def ballots_on(conn: Connection, motion_id: str) -> list[Ballot | None]:
    """Return the ballots that the rows hold for a motion, None for each row that cannot be read."""
    query = select(ballots.c.ballot).where(ballots.c.motion == motion_id).order_by(ballots.c.member, ballots.c.choice)
    return [_ballot(row[0]) for row in conn.execute(query)]


def _ballot(text: str) -> Ballot | None:
    try:
        return msgspec.json.decode(text, type=Ballot)
    except msgspec.DecodeError:
        return None


def lock(conn: Connection, what: str) -> None:
    """Let no other unit decide about `what` until this one is over, whether a row of it is there or not.

    On SQLite a unit that writes has the whole file to itself.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"governance {what}", 0))))


def add_release_hold(conn: Connection, hold: str, model: str, called_by: tuple[str, ...], ratify_by: Millis) -> None:
    """Record who called a hold and until when it should be ratified."""
    conn.execute(insert(releases).values(hold=hold, model=model, called_by=" ".join(called_by), ratify_by=ratify_by))


def release_hold(conn: Connection, hold: str) -> tuple[tuple[str, ...], Millis] | None:
    """Return (members who called it, ratify by) for a hold, or None."""
    row = conn.execute(select(releases).where(releases.c.hold == hold)).mappings().first()
    return (tuple(row["called_by"].split()), int(row["ratify_by"])) if row else None
