"""Signed notes (C2SP signed-note v1.0.0): text, signature lines, verifier keys. Guards checkpoints from strangers.

Signatures of unknown keys are ignored; a bad signature of a known key spoils the whole note; a note that no known key
signed is refused. Nothing of a note's text is used before `verify` has returned.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from weighthouse.core.errors import Invalid

ED25519: Final = 0x01
COSIGNATURE_ED25519: Final = 0x04
COSIGNATURE_ML_DSA_44: Final = 0x06
PUBLIC_BYTES: Final = {ED25519: 32, COSIGNATURE_ED25519: 32, COSIGNATURE_ML_DSA_44: 1312}

MAX_NOTE_BYTES = 256 * 1024
MAX_SIGNATURES = 64

# (key, note text, signature bytes without the key id) -> whether the signature is good.
Check = Callable[["VerifierKey", str, bytes], bool]


def malformed(what: str) -> Invalid:
    """Return the refusal of a note, checkpoint, key or proof that does not follow its specification."""
    return Invalid(
        "audit.malformed",
        f"{what}.",
        "Take the text whole from its source; if it is whole, its source is not to be trusted.",
    )


def decode_base64(text: str, what: str) -> bytes:
    """Decode standard base64 and refuse every second spelling of the same bytes."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise malformed(f"{what} is not base64") from None
    if base64.b64encode(value).decode() != text:
        raise malformed(f"{what} is not in the one spelling of its base64")
    return value


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Return the four-byte id of a key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def check_name(name: str) -> str:
    """Return `name` if it may name a key: Unicode, not empty, without spaces and plus signs."""
    if not name or "+" in name or any(c.isspace() or "\ud800" <= c <= "\udfff" for c in name):
        raise malformed(f"The key name {name[:80]!r} is empty, no Unicode, or has a space or a plus sign")
    return name


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key that may have signed a note: its name, signature type and raw public bytes."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        return key_id(self.name, self.kind, self.public)

    def text(self) -> str:
        """Return the verifier key line `<name>+<id>+<base64>`."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"


def parse_key(text: str) -> VerifierKey:
    """Read a verifier key line; raise `audit.malformed` if its id, type or length is wrong."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise malformed("The verifier key has not three parts joined by '+'")
    name, stated, material = check_name(parts[0]), parts[1], decode_base64(parts[2], "The verifier key")
    if not material or PUBLIC_BYTES.get(material[0]) != len(material) - 1:
        raise malformed(f"The verifier key of {name} is of an unknown type or has the wrong length")
    key = VerifierKey(name, material[0], material[1:])
    if key.id.hex() != stated:
        raise malformed(f"The verifier key of {name} states an id that is not its own")
    return key


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who it claims to be from, and the bytes after the key id."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text (with its final newline) and its signature lines, none of them verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def with_signatures(self, more: Iterable[Signature]) -> Note:
        """Return the note with further signatures added: one line a key, the last one given."""
        one_each = {(one.name, one.key_id): one for one in (*self.signatures, *more)}
        return Note(self.text, tuple(one_each.values()))

    def __str__(self) -> str:
        return self.text + "\n" + "".join(signature.line() for signature in self.signatures)


def parse_signature(line: str) -> Signature:
    """Read one signature line without its newline."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise malformed("A signature line is not a dash, a key name and base64")
    value = decode_base64(parts[2], "A signature")
    if len(value) < 5:
        raise malformed("A signature is too short")
    return Signature(check_name(parts[1]), value[:4], value[4:])


def parse(raw: bytes) -> Note:
    """Read a signed note; raise `audit.malformed` if it breaks the format in any way."""
    if len(raw) > MAX_NOTE_BYTES:
        raise malformed("The note is too large")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("The note is not UTF-8") from None
    if any(ord(c) < 0x20 and c != "\n" for c in text):
        raise malformed("The note holds a control character")
    body, gap, tail = text.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise malformed("The note has no signatures after an empty line, or does not end in a newline")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise malformed("The note has too many signatures")
    return Note(body + "\n", tuple(parse_signature(line) for line in lines))


def verify(note: Note, keys: Sequence[VerifierKey], check: Check) -> tuple[VerifierKey, ...]:
    """Return the known keys that signed `note`, each once.

    Raises `audit.bad_signature` if a known key's signature does not verify, or if no known key signed at all.
    """
    known = {(key.name, key.id): key for key in keys}
    good: dict[VerifierKey, None] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not check(key, note.text, signature.value):
            raise bad_signature(f"The signature of {key.name} does not verify, so the whole note is refused.")
        good[key] = None
    if not good:
        raise bad_signature("No key known here has signed this note.")
    return tuple(good)


def bad_signature(message: str) -> Invalid:
    """Return the refusal of a note that is well formed but not signed as it must be."""
    return Invalid(
        "audit.bad_signature",
        message,
        "Check that the key is the log's own; if it is, somebody else has made or changed this note.",
    )
