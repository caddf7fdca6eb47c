"""Keys that live outside the database. Guards every statement from whoever can write rows.

A write to the database mints nothing because each statement that matters (grants, policy bundles, devices, sessions,
checkpoints of the log) is signed or sealed with a key that only the running control plane holds.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class Signer(Protocol):
    """One Ed25519 key with a purpose. `public` is the raw 32 bytes (RFC 8032); `key_id` is stable and printable."""

    @property
    def key_id(self) -> str: ...

    @property
    def public(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes: ...


class Signers(Protocol):
    """The signers by purpose, and message authentication codes for rows that never leave the control plane."""

    def signer(self, purpose: str) -> Signer: ...

    def mac(self, purpose: str, data: bytes) -> bytes: ...


class Ed25519Signer:
    """A signer over a 32-byte seed held in this process."""

    def __init__(self, purpose: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()
        self._key_id = f"{purpose}-{hashlib.sha256(self._public).hexdigest()[:16]}"

    @property
    def key_id(self) -> str:
        return self._key_id

    @property
    def public(self) -> bytes:
        return self._public

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"Ed25519Signer({self._key_id})"


class MemorySigners:
    """Signers derived from one seed, for tests and benchmarks: the same seed gives the same keys."""

    def __init__(self, seed: bytes = b"\x00" * 32) -> None:
        self._seed = seed
        self._made: dict[str, Ed25519Signer] = {}

    def signer(self, purpose: str) -> Signer:
        made = self._made.get(purpose)
        if made is None:
            made = self._made[purpose] = Ed25519Signer(purpose, derive(self._seed, "sign:" + purpose))
        return made

    def mac(self, purpose: str, data: bytes) -> bytes:
        return hmac.digest(derive(self._seed, "mac:" + purpose), data, "sha256")

    def __repr__(self) -> str:
        return "MemorySigners(…)"


def derive(seed: bytes, label: str) -> bytes:
    """Derive 32 bytes for `label` from `seed` (HKDF-Expand with SHA-256, RFC 5869, one block)."""
    return hmac.digest(seed, label.encode() + b"\x01", "sha256")


def verify_ed25519(public: bytes, signature: bytes, data: bytes) -> bool:
    """Return whether `signature` over `data` is by the raw public key `public`; malformed input is simply False."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def equal(left: bytes, right: bytes) -> bool:
    """Compare two secrets or codes in constant time."""
    return hmac.compare_digest(left, right)
