"""Where ciphertext lies, and who opens it for a run. Guards the room from one storage, and runs from data keys.

Storage is never asked what is newest, only for bytes. Paths are relative, made of checked parts (`weights.bad_path`
otherwise), and are never followed through links. What was opened is what is read: an object is looked up once, and
what a run wrote is copied before it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from weighthouse.weights.model import LoadTicket, SaveTicket, Signed


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


class Lender(Protocol):
    """What has the data keys of one run, outside of it. Contract suite: tests/ports/test_lender.py.

    Every method may raise Unavailable `weights.no_lender`.
    """

    @property
    def recipient(self) -> bytes:
        """The raw X25519 key that this run's data keys are sealed to."""

    @property
    def signer(self) -> bytes:
        """The raw Ed25519 key that signs the manifests of what this run saves."""

    def lend(self, ticket: LoadTicket) -> None:
        """Open a version for the run until its lease ends; Conflict `weights.not_lent` without its ciphertext."""

    def write(self, ticket: SaveTicket) -> None:
        """Encrypt what the run brings for this save, and sign its manifest."""

    def extend(self, lease: str, lasts_ms: int) -> None:
        """Let a lease last so long from now on; one that has ended stays so."""

    def end(self, lease: str) -> None:
        """Forget the keys of a lease now."""


class LenderBeside(Lender, Protocol):
    """A lender as whoever starts a run sees it: `socket` and `window` are shown to the run, and lose their names."""

    socket: Path
    window: Path

    def given(self, folder: int) -> None:
        """Have it read what the run was given at /in; the descriptor stays the caller's."""

    def begin(self, roots: Sequence[int], out: int | None, owner: tuple[int, int]) -> None:
        """Answer the processes below `roots` from now on, nobody before; `out` is where they save.

        What is saved there belongs to `owner`, the user and the group that the run is on this machine.
        """

    def hide(self) -> None:
        """Let no path lead to socket and window any more."""

    def stop(self) -> None:
        """End it, and with it every key that it has."""


class Lending(Protocol):
    """Starts lenders."""

    def start(self, folder: Path) -> LenderBeside:
        """Start one in a private folder with a short path; it dies with the calling thread."""
