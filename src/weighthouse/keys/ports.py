"""What a key service must do. Guards the room from one vendor: the sealed file here, a KMS or HSM elsewhere.

A service never decides who may ask; that is settled before it is called. It binds each data key to its context and
refuses another context, a version below the minimum and a destroyed KEK with the codes named below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weighthouse.keys.model import DataKey, Health, KekInfo, Wrapped


class KeyService(Protocol):
    """KEKs by name, each in versions. All methods may raise Unavailable `keys.unavailable`."""

    def generate(self, kek: str, contexts: Sequence[bytes]) -> list[DataKey]:
        """Make one fresh data key for each context; make the KEK if it is new. Denied `keys.destroyed`."""

    def unwrap(self, kek: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Unwrap (blob, context) pairs: Denied `keys.wrong_context`, `keys.version_too_old` or `keys.destroyed`."""

    def rewrap(self, kek: str, items: Sequence[tuple[bytes, bytes]]) -> list[Wrapped]:
        """Wrap the same data keys under the current version; the data never changes."""

    def rotate(self, kek: str, *, past: int = 0, minimum: int = 0) -> int:
        """Make a new current version, above `past`, and return its number; the minimum is at least `minimum` then.

        With `past` a KEK that is not known is made: it was lost, and its number must not be used again.
        """

    def set_minimum(self, kek: str, version: int) -> None:
        """Refuse versions below `version` from now on."""

    def destroy(self, kek: str) -> None:
        """Destroy every version. What it wrapped is lost for good; a second call changes nothing."""

    def retire(self, kek: str, version: str) -> None:
        """Never unwrap again what its context (canonical JSON) places in `version`: Denied `keys.destroyed`."""

    def version_of(self, blob: bytes) -> int:
        """The version that a wrapped data key says it is under; unwrapping alone proves it. `keys.wrong_context`."""

    def find(self, kek: str) -> KekInfo | None:
        """One KEK, at once; None if there is none of that name."""

    def describe(self) -> list[KekInfo]:
        """Every KEK, by name."""

    def health(self) -> Health:
        """Whether wrapping and unwrapping work now, tried for real."""
