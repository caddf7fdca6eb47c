"""The nouns of governance: charter, seats, motions, ballots, tallies and the status of a release.

Guards the count from two readings: every statement that a member signs is built here, in one way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from weighthouse.core.clock import DAY, MINUTE, Millis

if TYPE_CHECKING:  # the count is policy's, holds are access's; this room only carries what they return
    from weighthouse.access.api import Hold
    from weighthouse.policy.api import Tally

SeatKind = Literal["director", "expert", "adviser", "observer"]
MotionClass = Literal["ordinary", "release_clear", "hold", "lift_hold", "charter_change"]
Choice = Literal["for", "against", "abstain", "recuse"]
Outcome = Literal["carried", "lost"]

CLASSES: tuple[MotionClass, ...] = ("ordinary", "release_clear", "hold", "lift_hold", "charter_change")
CHOICES: tuple[Choice, ...] = ("for", "against", "abstain", "recuse")

RATIFY_WITHIN: Millis = 14 * DAY
SIGN_WITHIN: Millis = 15 * MINUTE


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """One seat. Only voting seats count; `independent` means without a part in the executive."""

    person: str
    kind: SeatKind
    voting: bool
    independent: bool
    until: Millis | None = None
    """The last day of the term, as the UTC midnight that begins it; the seat counts to the end of that day."""


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """What the lab demands for a class of decisions beyond the rules of this room: it only makes them stricter."""

    present: int = 0
    approve: int = 0
    independent: int = 0


class Charter(msgspec.Struct, frozen=True, kw_only=True):
    """The rules in force. They come from the policy bundle, whose signature the policy room has verified."""

    version: int
    seats: tuple[Seat, ...]
    chair: str
    min_independent: int = 1
    quorums: dict[str, Quorum] = {}
    barred: tuple[str, ...] = ()
    answer_within: Millis = 3 * DAY
    """How long members have to answer before a quorum may close a motion without the others."""
    vacant: tuple[str, ...] = ()
    """Whose seat stands empty now: the term has ended, or the person has left, is frozen or held. No part of the
    rules, so that a term that ends takes one ballot out and does not void the question for the others."""

    def statement(self) -> dict[str, Any]:
        """Return the charter as the value whose digest motions name, so that a changed charter voids open motions."""
        rules = {name: value for name, value in msgspec.to_builtins(self).items() if name != "vacant"}
        return {"v": 1, "type": "governance.charter", **rules}


class Motion(msgspec.Struct, frozen=True, kw_only=True):
    """One question to the committee. `subject` is a model, a hold, the digest of a policy text or a topic; the digest
    covers every field."""

    id: str
    cls: MotionClass
    subject: str
    text: str
    opened_by: str
    opened_at: Millis
    charter: str
    """Digest of the charter under which it is decided."""
    base: str = ""
    """The publication of policy that a text would replace, if the motion is about publishing one; `subject` is the
    digest of that text, and the motion carries no other and replaces nothing else."""
    changes: tuple[str, ...] = ()
    """What that text would change, as the server told it and each member signs it."""

    def statement(self) -> dict[str, Any]:
        """Return what the motion's digest is taken over. One that lifts a hold, or takes a text, names the act in
        access's own words; the others are as they were before there were texts."""
        built = msgspec.to_builtins(self)
        if self.base:
            return {"type": "weighthouse/motion/2", "act": "publish", "policy": self.subject, **built}
        del built["base"], built["changes"]
        act = {"act": "lift", "hold": self.subject} if self.cls == "lift_hold" else {}
        return {"type": "weighthouse/motion/1", **act, **built}


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """One member's answer with the signature of their enrolled device, which makes it theirs."""

    motion: str
    member: str
    choice: Choice
    at: Millis
    """The time inside the signed statement."""
    device: str
    signature: str
    """ES256, raw r and s, base64url without padding."""
    session: str = ""
    """The session that it was cast in; empty in one from before sessions were kept."""
    audience: str = ""
    """The server that it was given for; empty in one from before that was signed."""


class MotionView(msgspec.Struct, frozen=True, kw_only=True):
    """A motion as a member sees it: with its digest, the live count (once closed, the count that decided) and the
    statement to sign."""

    motion: Motion
    digest: str
    tally: Tally
    voted: tuple[str, ...]
    void: tuple[str, ...]
    """Members whose ballot fell with the device that signed it; they may answer again."""
    waiting: tuple[str, ...]
    """Members who have not answered."""
    closable: bool
    """Whether it may be closed now: there is a quorum, and nobody who has not answered could change the outcome, or
    the time to answer is over."""
    answer_by: Millis
    fault: str
    """Why this motion can decide nothing, if its rows and the log tell different stories."""
    unproven: str
    """Which attacks of the catalogue bar clearing a release: missed, or not tested on this very system."""
    closed_at: Millis | None
    outcome: Outcome | None
    statement: dict[str, Any]
    """What the caller signs, canonically encoded, once `ballot` and `device` are set; empty for who may not vote."""
    expires: Millis
    """Until when a signature over this statement is accepted."""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """The ballots on a motion: those that count, and the members whose ballot fell with the device that signed it."""

    ballots: tuple[Ballot, ...]
    void: tuple[str, ...]


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    """What of one kind a hold would stop now: how many, and the first of them."""

    what: str
    means: str
    count: int
    first: tuple[str, ...]


class HoldPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a hold says and what it would stop now, before it is placed."""

    subject: str
    actions: tuple[str, ...]
    words: tuple[str, ...]
    stops: tuple[Stopping, ...]


class HoldShown(msgspec.Struct, frozen=True, kw_only=True):
    """A hold, standing or lifted, and how many lines of the log say that it has stopped something."""

    hold: Hold
    stopped: int


class StoppedAct(msgspec.Struct, frozen=True, kw_only=True):
    """One act that a hold has stopped, as the line `index` of the log tells it: what, by whom, on what."""

    index: int
    at: Millis
    what: str
    by: str
    about: str
    kind: str


class ReleaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model may leave, and if not, since when, why, and what would change it."""

    model: str
    held: bool
    hold: str | None
    since: Millis | None
    reason: str
    called_by: tuple[str, ...]
    ratify_by: Millis | None
    ratified: bool
    remedy: str


def ballot_statement(
    motion_digest: str, voter: str, ballot: str, device: str, at: Millis, *, audience: str
) -> dict[str, Any]:
    """Return the value that a member signs: this answer, of this member, to exactly this motion, at this time, here.

    Without an audience it is what was signed before servers were named: still verified, and taken no more.
    """
    return {
        **({"audience": audience} if audience else {}),
        "type": f"weighthouse/ballot/{2 if audience else 1}",
        "motion_digest": motion_digest,
        "ballot": ballot,
        "voter": voter,
        "device": device,
        "at": at,
    }
