"""Typed, time-ordered identifiers. Guards against one kind of id being taken for another (a user named like a group).

An id is `<prefix>_<26 characters of lower base32>`: 48 bits of milliseconds, 80 random bits. Ids that people choose
(`model/tern`, `ada`) are slugs, checked for shape before they reach a rule.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import NewType

from weighthouse.core.errors import Invalid

PrincipalId = NewType("PrincipalId", str)
PersonId = NewType("PersonId", str)
SessionId = NewType("SessionId", str)
DeviceId = NewType("DeviceId", str)
RequestId = NewType("RequestId", str)
GrantId = NewType("GrantId", str)
HoldId = NewType("HoldId", str)
ResourceId = NewType("ResourceId", str)
RunId = NewType("RunId", str)
VersionId = NewType("VersionId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID = re.compile(r"([a-z]{3})_[0-9a-hjkmnp-tv-z]{26}")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?(?:/[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?){0,3}")


def new_id(prefix: str) -> str:
    """Return a fresh id `<prefix>_…`, unique without coordination and sortable by creation time."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return prefix + "_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def made_id(prefix: str, seen: bytes) -> str:
    """Return the id of kind `prefix` that stands for `seen`, a digest of at least 17 bytes: always the same one."""
    number = int.from_bytes(seen[:17], "big") & ((1 << 127) - 1)
    return prefix + "_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def check_id(value: str, prefix: str) -> str:
    """Return `value` if it is an id of the kind `prefix`; raise `core.bad_id` otherwise."""
    if not is_id(value, prefix):
        raise Invalid(
            "core.bad_id",
            f"Expected an id that begins with '{prefix}_' and has 26 further characters.",
            "Copy the id whole from the list or the page that shows it.",
        )
    return value


def is_id(value: str, prefix: str) -> bool:
    """Whether `value` is an id of the kind `prefix`."""
    match = _ID.fullmatch(value)
    return match is not None and match.group(1) == prefix


def check_slug(value: str) -> str:
    """Return `value` if it is a slug such as `model/tern`: lower case ASCII, at most four parts of 64 characters."""
    if _SLUG.fullmatch(value) is None:
        raise Invalid(
            "core.bad_slug",
            "A name has lower-case letters, digits, '.', '_' and '-', in at most four parts joined by '/'.",
            "Use the name as the lab configuration spells it.",
        )
    return value
