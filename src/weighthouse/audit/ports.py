"""What the log needs from outside the database: the signer's memory, and witnesses in another trust domain."""

from __future__ import annotations

from typing import Protocol

from weighthouse.audit.model import Acknowledged, Gap, Remembered
from weighthouse.core.clock import Millis


class SignerMemory(Protocol):
    """Remembers the last signed size and root where no database administrator can write."""

    def recall(self, origin: str) -> Remembered | None:
        """Return what was last signed under `origin`, None if nothing ever was; raise if it cannot be read."""

    def remember(self, origin: str, signed: Remembered) -> None:
        """Keep `signed` if it is larger than what is kept; a smaller one is a late writer and is ignored."""

    def replace(self, origin: str, signed: Remembered) -> None:
        """Keep `signed` whatever was kept before: only the fork ceremony does this."""


class LineMemory(Protocol):
    """Remembers outside the database which waiting rows were acknowledged, so that none of them vanishes unmissed."""

    def acknowledge(self, lane: str, number: int, at: Millis) -> None:
        """Remember that the rows of `lane` up to `number` are committed."""

    def acknowledged(self) -> list[Acknowledged]:
        """What this process was acknowledged, the last row of each lane."""

    def retire(self, lane: str) -> None:
        """Ask no more after this lane."""

    def folder(self) -> str:
        """The name of where this is kept, which a copy does not have: what a process says over it, the next one over
        it may take back."""

    def left_behind(self) -> list[tuple[str, list[Acknowledged]]]:
        """What processes that are gone were acknowledged, by the name under which it is kept."""

    def is_own(self, name: str) -> bool:
        """Whether that process served from this very place, so that it is gone; not one that a copy tells of."""

    def forget(self, name: str) -> None:
        """Forget what one of them left, for all of it is in the log or counted as lost."""

    def lose(self, gap: Gap) -> None:
        """Remember, over restarts, that rows are lost."""

    def lost(self) -> tuple[Gap, ...]:
        """What is lost and not yet accepted as such."""

    def forgive(self) -> None:
        """Count nothing as lost any more: only the fork ceremony does this."""


class Witness(Protocol):
    """One witness: it is sent a checkpoint with a consistency proof and answers with a cosignature."""

    @property
    def name(self) -> str:
        """The name in the quorum policy."""

    @property
    def key(self) -> str:
        """The witness's verifier key."""

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        """Send one `add-checkpoint` request; return HTTP status and body. Raises OSError if it cannot be reached."""


class Witnesses(Protocol):
    """The witnesses that the operator chose, and how many of them suffice; empty when none."""

    def all(self) -> tuple[Witness, ...]: ...

    def satisfied(self, note: str) -> bool:
        """Return whether the cosignatures under this checkpoint make the operator's quorum."""
