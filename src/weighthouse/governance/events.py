"""The facts that governance publishes. The fact of a ballot carries the ballot whole: the count reads the log."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class HoldCalled(Event, frozen=True, kw_only=True):
    """A member called for a hold on a release that does not bind before a second member joins."""

    KIND: ClassVar[str] = "governance.HoldCalled"
    SUBJECT: ClassVar[str] = "model"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    model: str
    member: str
    reason: str
    call: str = ""


class HoldPlaced(Event, frozen=True, kw_only=True):
    """A release is held: `hold` beats every grant on the model until a quorate vote lifts it."""

    KIND: ClassVar[str] = "governance.HoldPlaced"
    SUBJECT: ClassVar[str] = "model"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    hold: str
    model: str
    called_by: tuple[str, ...]
    reason: str
    ratify_by: int
    charter: str


class HoldLifted(Event, frozen=True, kw_only=True):
    """A quorate vote lifted a hold; `motion` is the one that carried."""

    KIND: ClassVar[str] = "governance.HoldLifted"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "model"

    hold: str
    model: str
    motion: str


class MotionOpened(Event, frozen=True, kw_only=True):
    """A question was put to the committee. `digest` covers its whole text, class, subject and charter; `base` is the
    publication of policy that the text named by the subject would replace, if it is about one."""

    KIND: ClassVar[str] = "governance.MotionOpened"
    SUBJECT: ClassVar[str] = "motion"

    motion: str
    cls: str
    about: str
    digest: str
    charter: str
    opened_by: str
    base: str = ""


class BallotCast(Event, frozen=True, kw_only=True):
    """A member answered, with the signature over exactly this motion. A recusal is a ballot too."""

    KIND: ClassVar[str] = "governance.BallotCast"
    SUBJECT: ClassVar[str] = "motion"

    motion: str
    digest: str
    member: str
    choice: str
    device: str
    signed_at: int
    signature: str
    session: str = ""
    audience: str = ""


class MotionClosed(Event, frozen=True, kw_only=True):
    """The committee has decided, with the count and the rule that made it so."""

    KIND: ClassVar[str] = "governance.MotionClosed"
    SUBJECT: ClassVar[str] = "motion"

    motion: str
    cls: str
    about: str
    digest: str
    charter: str
    outcome: str
    rule: str
    seats: int
    present: int
    needed: int
    independent_present: int
    independent_needed: int
    votes_for: int
    votes_needed: int
    votes_against: int
    voted: tuple[str, ...]
    recused: tuple[str, ...]
    closed_by: str


class TamperFound(Event, frozen=True, kw_only=True):
    """Rows of ballots say what the log does not, or lack what it says: they count for nothing, and hinder nobody."""

    KIND: ClassVar[str] = "governance.TamperFound"
    SUBJECT: ClassVar[str] = "what"

    what: str
    code: str


class RowsEdited(Event, frozen=True, kw_only=True):
    """A decision was refused because stored rows and the log tell different stories."""

    KIND: ClassVar[str] = "governance.RowsEdited"
    SUBJECT: ClassVar[str] = "motion"

    motion: str
    what: str
