"""Checkpoints (C2SP tlog-checkpoint v1.0.0) and cosignatures (tlog-cosignature). Guards the one line that vouches.

A checkpoint is three lines (origin, size, root) in a signed note. The log signs it plainly with Ed25519 and, if
asked, with an ML-DSA-44 cosignature; witnesses add timestamped cosignatures that say "and it only ever grew".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules.note import Note, Signature, VerifierKey, malformed
from weighthouse.audit.rules.tree import EMPTY_ROOT, HASH_BYTES, MAX_SIZE

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
Sign = Callable[[bytes], bytes]


def parse_decimal(text: str, what: str) -> int:
    """Read a whole number without leading zeroes, at most 2^63 - 1."""
    if _DECIMAL.fullmatch(text) is None or int(text) > MAX_SIZE:
        raise malformed(f"{what} is not a plain whole number up to 2^63 - 1")
    return int(text)


def parse_hash(text: str, what: str) -> bytes:
    """Read one base64 hash of 32 bytes."""
    value = notes.decode_base64(text, what)
    if len(value) != HASH_BYTES:
        raise malformed(f"{what} has not 32 bytes")
    return value


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and root of a log at one moment, under the log's origin."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the note text."""
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions]
        return "\n".join(lines) + "\n"


def parse_text(text: str, *, allow_wrong_empty_root: bool = False) -> Checkpoint:
    """Read the text of a checkpoint note; extension lines are kept but mean nothing here.

    A checkpoint of size 0 must have the root of the empty tree; a witness asks to judge that itself.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise malformed("A checkpoint has at least three lines, none of them empty")
    size = parse_decimal(lines[1], "The tree size")
    root = parse_hash(lines[2], "The root hash")
    if size == 0 and root != EMPTY_ROOT and not allow_wrong_empty_root:
        raise malformed("A checkpoint of size 0 must have the root of the empty tree")
    return Checkpoint(lines[0], size, root, tuple(lines[3:-1]))


def open_checkpoint(raw: bytes, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, Note]:
    """Verify a signed checkpoint against the log's keys and read it.

    Raises `audit.malformed`, or `audit.bad_signature` when none of `keys` signed it or one of them did so badly, or
    when its origin is not the name of a key that signed it.
    """
    note = notes.parse(raw)
    signers = notes.verify(note, keys, check_signature)
    checkpoint = parse_text(note.text)
    if not any(key.name == checkpoint.origin for key in signers):
        raise notes.bad_signature(f"The origin {checkpoint.origin!r} is not the name of the key that signed.")
    return checkpoint, note


def cosignature_message(text: str, timestamp: int) -> bytes:
    """Return the bytes that an Ed25519 cosignature signs (`cosignature/v1`)."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def subtree_message(name: str, timestamp: int, checkpoint: Checkpoint) -> bytes:
    """Return the bytes that an ML-DSA-44 cosignature of a whole checkpoint signs (`subtree/v1`)."""
    cosigner, origin = name.encode(), checkpoint.origin.encode()
    if not 0 < len(cosigner) < 256 or not 0 < len(origin) < 256:
        raise malformed("A cosigner's name or an origin is longer than 255 bytes")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(cosigner)]) + cosigner,
            timestamp.to_bytes(8, "big"),
            bytes([len(origin)]) + origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def check_signature(key: VerifierKey, text: str, value: bytes) -> bool:
    """Return whether `value` is a good signature by `key`, of the key's type, over the note text."""
    try:
        if key.kind == notes.ED25519:
            Ed25519PublicKey.from_public_bytes(key.public).verify(value, text.encode())
            return True
        timestamp = int.from_bytes(value[:8], "big")
        if len(value) < 9 or timestamp > MAX_SIZE:
            return False
        if key.kind == notes.COSIGNATURE_ED25519:
            message = cosignature_message(text, timestamp)
            Ed25519PublicKey.from_public_bytes(key.public).verify(value[8:], message)
            return True
        message = subtree_message(key.name, timestamp, parse_text(text))
        MLDSA44PublicKey.from_public_bytes(key.public).verify(value[8:], message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign_note(key: VerifierKey, sign: Sign, checkpoint: Checkpoint, timestamp: int) -> Signature:
    """Sign `checkpoint` in the way of `key`'s type; `timestamp` (whole seconds) matters to cosignatures only."""
    stamp = timestamp.to_bytes(8, "big")
    if key.kind == notes.ED25519:
        value = sign(checkpoint.text().encode())
    elif key.kind == notes.COSIGNATURE_ED25519:
        value = stamp + sign(cosignature_message(checkpoint.text(), timestamp))
    else:
        value = stamp + sign(subtree_message(key.name, timestamp, checkpoint))
    return Signature(key.name, key.id, value)
