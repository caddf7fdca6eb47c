"""Canonical bytes (RFC 8785 restricted to integers). Guards signatures from two readings of one document.

Floats, NaN, non-string keys and invalid Unicode are refused before anything is signed or stored, so that equal
values have equal bytes and a digest names exactly one value.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785

from weighthouse.core.errors import Invalid

_REMEDY = "Send whole numbers, text, true, false, null, lists and objects with text keys only."


def _check(value: object, depth: int) -> None:
    if depth > 32:
        raise Invalid("core.not_canonical", "The document is nested more than 32 levels deep.", _REMEDY)
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if not -(2**53) < value < 2**53:
            raise Invalid("core.not_canonical", "A number is outside the exact range of JSON (2^53).", _REMEDY)
        return
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Invalid("core.not_canonical", "A text is not valid Unicode.", _REMEDY) from None
        return
    if isinstance(value, list | tuple):
        for item in value:
            _check(item, depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Invalid("core.not_canonical", "An object key is not text.", _REMEDY)
            _check(key, depth + 1)
            _check(item, depth + 1)
        return
    raise Invalid("core.not_canonical", f"A value of type {type(value).__name__} has no canonical form.", _REMEDY)


def encode(value: object) -> bytes:
    """Return the one canonical UTF-8 encoding of `value` (RFC 8785); raise `core.not_canonical` if it has none."""
    _check(value, 0)
    return rfc8785.dumps(value)  # type: ignore[arg-type]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("core.not_canonical", "An object names one key twice.", _REMEDY)
    return found


def _no_float(text: str) -> Any:
    raise Invalid("core.not_canonical", f"The number {text[:20]} is not a whole number.", _REMEDY)


def decode(data: bytes) -> Any:
    """Parse JSON and require that `data` is already its canonical form (one reading, one digest)."""
    try:
        value = json.loads(data, object_pairs_hook=_no_duplicates, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError):
        raise Invalid("core.not_canonical", "The bytes are not JSON.", _REMEDY) from None
    if encode(value) != data:
        raise Invalid("core.not_canonical", "The JSON is not in canonical form (RFC 8785).", _REMEDY)
    return value


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """Return `sha256:<hex>` of the canonical form of `value`."""
    return "sha256:" + sha256_hex(encode(value))
