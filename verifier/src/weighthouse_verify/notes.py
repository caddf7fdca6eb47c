"""Signed notes, verifier keys and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature), read strictly.

Guards the check from forged, ambiguous and malformed checkpoints: one spelling of everything, unknown keys ignored, a
bad signature of a known key spoils the note.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from weighthouse_verify.tree import EMPTY, HASH

LOG, WITNESS, QUANTUM_SAFE = 1, 4, 6
_LENGTHS = {LOG: 32, WITNESS: 32, QUANTUM_SAFE: 1312}
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class RefusedError(Exception):
    """What was given is malformed, or not signed as it must be."""


def number(text: str, what: str) -> int:
    """Read a plain decimal up to 2^63 - 1."""
    if not _NUMBER.fullmatch(text) or int(text) >= 2**63:
        raise RefusedError(f"{what} is not a plain whole number")
    return int(text)


def unbase64(text: str, what: str) -> bytes:
    """Decode base64 in its one spelling."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if not value or base64.b64encode(value).decode() != text:
        raise RefusedError(f"{what} is not base64")
    return value


@dataclass(frozen=True)
class Key:
    """A verifier key: name, signature type, raw public key."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]


def _named(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() for c in name)


def read_key(text: str) -> Key:
    """Read a verifier key `<name>+<id>+<base64>`."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not _named(parts[0]):
        raise RefusedError(f"{text[:60]!r} is not a verifier key")
    material = unbase64(parts[2], "the verifier key")
    key = Key(parts[0], material[0], material[1:])
    if _LENGTHS.get(key.kind) != len(key.public) or key.id.hex() != parts[1]:
        raise RefusedError(f"the verifier key of {key.name} has an unknown type, a wrong length or a wrong id")
    return key


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose signatures were not checked yet: `lines` are (name, key id, signature)."""

    text: str
    origin: str
    size: int
    root: bytes
    lines: tuple[tuple[str, bytes, bytes], ...]

    def signers(self, keys: Iterable[Key]) -> set[Key]:
        """Return which of `keys` signed; raise if a line of one of them does not verify."""
        known = {(key.name, key.id): key for key in keys}
        good = set()
        for name, ident, value in self.lines:
            key = known.get((name, ident))
            if key is None:
                continue
            if not self._verifies(key, value):
                raise RefusedError(f"the signature of {name} does not verify")
            good.add(key)
        return good

    def _verifies(self, key: Key, value: bytes) -> bool:
        moment = int.from_bytes(value[:8], "big")
        try:
            if key.kind == LOG:
                Ed25519PublicKey.from_public_bytes(key.public).verify(value, self.text.encode())
            elif len(value) < 9 or moment >= 2**63:
                return False
            elif key.kind == WITNESS:
                message = f"cosignature/v1\ntime {moment}\n{self.text}".encode()
                Ed25519PublicKey.from_public_bytes(key.public).verify(value[8:], message)
            else:
                MLDSA44PublicKey.from_public_bytes(key.public).verify(value[8:], self._subtree(key.name, value[:8]))
        except (InvalidSignature, ValueError):
            return False
        return True

    def _subtree(self, name: str, stamp: bytes) -> bytes:
        cosigner, origin = name.encode(), self.origin.encode()
        head = b"subtree/v1\n\0" + bytes([len(cosigner)]) + cosigner + stamp + bytes([len(origin)]) + origin
        return head + bytes(8) + self.size.to_bytes(8, "big") + self.root


def read_checkpoint(raw: bytes) -> Checkpoint:
    """Read a signed checkpoint; raise on any deviation from the format."""
    if len(raw) > 256 * 1024:
        raise RefusedError("the checkpoint is too large")
    try:
        note = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError("the checkpoint is not UTF-8") from None
    if any(c < " " and c != "\n" for c in note):
        raise RefusedError("the checkpoint holds a control character")
    text, gap, tail = note.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise RefusedError("the checkpoint has no signature lines")
    fields = text.split("\n")
    if len(fields) < 3 or not all(fields):
        raise RefusedError("the checkpoint has not three lines of text")
    size, top = number(fields[1], "the tree size"), unbase64(fields[2], "the root hash")
    if len(top) != HASH or (size == 0 and top != EMPTY):
        raise RefusedError("the root hash has not 32 bytes, or is not that of the empty log")
    return Checkpoint(text + "\n", fields[0], size, top, tuple(_line(line) for line in tail[:-1].split("\n")))


def _line(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not _named(parts[1]):
        raise RefusedError("a signature line is malformed")
    value = unbase64(parts[2], "a signature")
    if len(value) < 5:
        raise RefusedError("a signature is too short")
    return parts[1], value[:4], value[4:]


def check_signed(checkpoint: Checkpoint, keys: Iterable[Key]) -> None:
    """Raise unless one of `keys`, named like the checkpoint's origin, signed it and none of them did so badly."""
    if not any(key.name == checkpoint.origin for key in checkpoint.signers(keys)):
        raise RefusedError(f"no known key of '{checkpoint.origin}' has signed it")
