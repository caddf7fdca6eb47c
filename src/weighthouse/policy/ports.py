"""Where policy keeps what a database row must not be able to undo.

Guards against an administrator of the database who points the server back to an older, more generous bundle: the
newest version ever used is remembered outside the database.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Remembered(msgspec.Struct, frozen=True):
    """The newest policy version ever used, and its digest. Version 0 means none yet."""

    version: int
    digest: str


class PolicyMemory(Protocol):
    """Remembers the newest policy version outside the database."""

    def newest(self) -> Remembered:
        """Return what is remembered; raises `policy.memory_broken` if it cannot be read."""

    def remember(self, version: int, digest: str) -> None:
        """Keep `version` durably if it is newer than what is remembered."""
