"""Where ciphertext lies. Guards the room from one storage; storage is never asked what is newest, only for bytes.

Paths are relative, made of checked parts (`weights.bad_path` otherwise), and are never followed through links.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """Immutable objects by path. All methods may raise Unavailable `weights.store_unavailable`."""

    def put_new(self, path: str, data: bytes) -> None:
        """Create an object, durable when this returns; Conflict `weights.object_exists` if there is one."""

    def length(self, path: str) -> int:
        """Length in bytes; NotFound `weights.no_object`, Invalid `weights.not_an_object` for links and devices."""

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; Invalid `weights.short_object` when there are fewer."""

    def delete(self, prefix: str) -> int:
        """Remove all objects under a prefix and return how many; none is no error."""

    def local(self, prefix: str) -> Path | None:
        """The folder of a prefix on this machine, made if needed, for a sandbox to mount; None for remote stores."""
