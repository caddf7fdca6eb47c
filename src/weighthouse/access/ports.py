"""What a restored database row must not be able to undo.

Guards against an administrator of the database who puts back yesterday's row: ends of grants, closed requests and
holds are also kept outside the database, and what stands there stands. So is what was given to whom and when, so that
nobody hides one row while what must stay apart from it, or not follow it for ever, is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from weighthouse.access.model import Apart, Hold, HoldCall, Look, Owed


class Refusals(Protocol):
    """Remembers, outside the database, every no that must outlive its row. Calls are durable when they return."""

    def learnt(self) -> int:
        """Up to which place of the log everything that it refuses is remembered here; 0 if nobody has said."""

    def learnt_to(self, place: int) -> None:
        """Remember that; the last word counts. It stands in the memory itself, so that an older one says less."""

    def close(self, ids: Sequence[str], owed: Owed | None = None) -> None:
        """Remember that these grants and requests are over for good, and what line the log must have of it."""

    def closed(self, id_: str) -> bool:
        """Whether this grant or request is over; raises `access.memory_broken` if nobody can tell."""

    def place(self, hold: Hold, owed: Owed | None = None) -> None:
        """Remember a hold, and what line the log must have of it."""

    def owed(self) -> tuple[Owed, ...]:
        """The lines that the log must have and may lack: a change may have failed after its no was kept here."""

    def settled(self, ids: Sequence[str]) -> None:
        """Remember that the log has the lines about these."""

    def lift(self, hold_id: str) -> None:
        """Remember that a hold was lifted."""

    def holds(self) -> tuple[Hold, ...]:
        """Every hold placed and not lifted; raises `access.memory_broken` if nobody can tell."""

    def hold(self, hold_id: str) -> Hold | None:
        """The hold of this id if it stands; answers also while this memory is behind."""

    def look(self, hold_id: str, look: Look) -> None:
        """Remember that somebody has looked at what a hold of the log is about, and would lift it."""

    def looked(self, hold_id: str) -> frozenset[Look]:
        """Which people have looked so far, each with their account and session; raises `access.memory_broken`."""

    def call(self, call: HoldCall, owed: Owed | None = None) -> None:
        """Remember that a member called for a hold, without their words, and what line the log must have of it."""

    def calls(self, model: str) -> tuple[HoldCall, ...]:
        """The calls on a model since the last hold of the committee on it; raises `access.memory_broken`."""

    def answered(self, model: str) -> int:
        """When the last hold of the committee on a model was placed, which answers the calls until then; 0 if none
        was."""

    def keep_apart(self, held: Apart) -> None:
        """Remember what a grant gave and until when; said again with another end, the last word counts."""

    def held_apart(self, person: str) -> tuple[Apart, ...]:
        """What a person was given, ended or not; raises `access.memory_broken` if nobody can tell."""

    def given(self, grant: str) -> Apart | None:
        """What a grant gave, as it was told last; answers also while this memory is behind, for it learns by it."""

    def placed(self, hold_id: str) -> bool:
        """Whether this hold was ever placed here, lifted or not; answers also while this memory is behind."""

    def doubt_after(self, seconds: float, since: float | None = None) -> None:
        """Answer no question any more `seconds` after the moment `since` (of `core.clock.since_start`; now, if none),
        until this is called again: what was refused elsewhere since is not known here. Never called, as in a process
        that serves nobody, it answers always."""

    def stopping(self) -> AbstractContextManager[None]:
        """Answer this thread inside also while others may have refused more: it is about to stop something."""

    def lifted(self, hold_id: str) -> bool:
        """Whether a hold was placed here and lifted again."""
