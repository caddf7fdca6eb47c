"""What the log needs from outside the database: the signer's memory, and witnesses in another trust domain."""

from __future__ import annotations

from typing import Protocol

from weighthouse.audit.model import Remembered


class SignerMemory(Protocol):
    """Remembers the last signed size and root where no database administrator can write."""

    def recall(self, origin: str) -> Remembered | None:
        """Return what was last signed under `origin`, None if nothing ever was; raise if it cannot be read."""

    def remember(self, origin: str, signed: Remembered) -> None:
        """Keep `signed` if it is larger than what is kept; a smaller one is a late writer and is ignored."""

    def replace(self, origin: str, signed: Remembered) -> None:
        """Keep `signed` whatever was kept before: only the fork ceremony does this."""


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
