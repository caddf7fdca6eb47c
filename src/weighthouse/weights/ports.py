"""Where ciphertext lies. Guards the room from one storage; storage is never asked what is newest, only for bytes.

Paths are relative, made of checked parts (`weights.bad_path` otherwise), and are never followed through links. What
was opened is what is read: an object is looked up once, and what a run wrote is copied before it counts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from weighthouse.weights.model import Signed


class StoredObject(Protocol):
    """One object that is held open."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; Invalid `weights.short_object` when there are fewer."""


class ObjectStore(Protocol):
    """Immutable objects by path. All methods may raise Unavailable `weights.store_unavailable`."""

    def put_new(self, path: str, data: bytes) -> None:
        """Create an object, durable when this returns; Conflict `weights.object_exists` if there is one."""

    def open(self, path: str) -> AbstractContextManager[StoredObject]:
        """Hold an object; NotFound `weights.no_object`, Invalid `weights.not_an_object` for links and devices."""

    def take(self, source: str, target: str, signed: Signed, pause: Callable[[], None]) -> None:
        """Copy an object to where no run has ever written, durable and checked byte by byte when this returns.

        `pause` is called between segments, and while another one copies to the same place; it may raise. The same
        again changes nothing. Raises Invalid `weights.bad_object` for other bytes than the signed ones, TooMany
        `weights.no_room` where what is being copied already leaves none, and what `open` raises.
        """

    def is_taken(self, target: str, signed: Signed) -> bool:
        """Whether `take` of this process found or made exactly these bytes at `target`; reads no byte of it."""

    def room(self) -> int | None:
        """How many bytes more can be kept here; None where the store has no end of its own."""

    def folder(self, prefix: str) -> int | None:
        """A descriptor of a prefix's folder on this machine, made if needed; None for remote stores. Close it."""

    def only(self, prefix: str, listed: dict[str, int]) -> int | None:
        """A descriptor of the folder that `take` filled, if exactly the `listed` paths and lengths are in it.

        None for remote stores; Invalid `weights.strange_folder` otherwise. Close it.
        """

    def lend(self, prefix: str, folder: int | None) -> None:
        """Let a prefix be what the folder behind a descriptor holds, until it is lent None again."""

    def names(self, prefix: str) -> list[str]:
        """Names below a prefix, none if there is no such prefix."""

    def delete(self, prefix: str) -> int:
        """Remove all objects under a prefix and return how many; none is no error."""
