"""The form of a key file, strict and closed. Guards the process that opens one from whatever lies there instead.

Each field has one type and its bounds, no other field is taken, and what opens is checked as well: a file that is
anything else is `keys.bad_file`, never an error of some library, a wrong key or all of the memory.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from weighthouse.core.canonical import encode, utf8
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.core.ids import check_slug

FORMATS = ("weighthouse-sealed-keys/1", "weighthouse-sealed-keys/2")
"""1 had no edition. A file of either opens; what is written is of the newest."""
KEY = 32
SALT = 32
NONCE = 12
TAG = 16
MIN_COST, MAX_COST = 1 << 10, 1 << 20
_MOST = 1 << 31


class Kdf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the passphrase becomes a key (RFC 7914). The cost is bounded before it is used."""

    name: Literal["scrypt"]
    n: int
    r: Literal[8]
    p: Literal[1]
    salt: bytes


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key file as it lies on the disk; all but `nonce` and `box` is bound as associated data."""

    format: str
    kdf: Kdf
    nonce: bytes
    box: bytes

    def header(self) -> bytes:
        """The canonical bytes of what is not sealed."""
        return encode(msgspec.to_builtins({"format": self.format, "kdf": self.kdf}))


class Kek(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key encryption key: its versions by number, and which of them are still accepted."""

    current: int
    minimum: int
    keys: dict[str, bytes]
    made: Millis
    destroyed: bool = False
    retired: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Kek({self.current}, …)"


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sealed. `edition` grows by one with every write, so that an older file is known from a newer one."""

    root: bytes
    keks: dict[str, Kek]
    edition: int = 0

    def __repr__(self) -> str:
        return f"Contents(edition {self.edition}, …)"


def bad(name: str, why: str) -> Unavailable:
    """The refusal of a file that is no key file."""
    return Unavailable("keys.bad_file", f"The key file {name} is malformed: {why}.", "Restore it from a backup.")


def parse_box(raw: bytes, name: str) -> Box:
    """The outer form of a key file, or `keys.bad_file`."""
    try:
        found = msgspec.json.decode(raw, type=Box)
        json.loads(utf8(raw), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise bad(name, _said(error)) from None
    kdf = found.kdf
    if found.format not in FORMATS:
        raise bad(name, "its format is not one that is read here")
    if not MIN_COST <= kdf.n <= MAX_COST or kdf.n & (kdf.n - 1):
        raise bad(name, f"its work factor is not a power of two from {MIN_COST} to {MAX_COST}")
    if (len(kdf.salt), len(found.nonce)) != (SALT, NONCE) or len(found.box) <= TAG:
        raise bad(name, "its salt, nonce or box has not the right length")
    return found


def parse_contents(plain: bytes, format_: str, name: str) -> Contents:
    """What was sealed, or `keys.bad_file`."""
    try:
        found = msgspec.json.decode(plain, type=Contents)
    except (ValueError, RecursionError) as error:
        raise bad(name, f"inside, {_said(error)}") from None
    if len(found.root) != KEY or not 0 <= found.edition < 1 << 53:
        raise bad(name, "its root or edition is not one")
    if (found.edition == 0) != (format_ == FORMATS[0]):
        raise bad(name, "its edition does not fit its format")
    for kek, kept in found.keks.items():
        if not _slug(kek) or not _sound(kept):
            raise bad(name, "a key encryption key in it is not one")
    return found


def _sound(kek: Kek) -> bool:
    numbers = [int(each) for each in kek.keys if each.isascii() and each.isdigit() and len(each) <= len(str(_MOST))]
    plain = [str(number) for number in numbers] == list(kek.keys)  # one spelling for each number
    whole = not kek.keys if kek.destroyed else str(kek.current) in kek.keys
    return (
        plain
        and whole
        and all(1 <= number <= kek.current for number in numbers)
        and all(len(each) == KEY for each in kek.keys.values())
        and 1 <= kek.minimum <= kek.current < _MOST
        and 0 <= kek.made < 1 << 53
    )


def _slug(name: str) -> bool:
    try:
        check_slug(name)
    except Invalid:
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands there twice")
    return found


def _said(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return f"{str(error)[:120].replace('`', '')}"
    return str(error)[:120] if type(error) is ValueError else "it is not JSON in UTF-8"
