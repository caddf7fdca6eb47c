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


_plain = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")).encode


def _check(value: object, depth: int) -> bool:
    """Raise unless `value` has a canonical form; return whether every name in it is ASCII."""
    if depth > 32:
        raise Invalid("core.not_canonical", "The document is nested more than 32 levels deep.", _REMEDY)
    kind = type(value)
    if kind is str:
        _check_text(value)  # type: ignore[arg-type]
        return True
    if kind is int:
        if not -(2**53) < value < 2**53:  # type: ignore[operator]
            raise Invalid("core.not_canonical", "A number is outside the exact range of JSON (2^53).", _REMEDY)
        return True
    if value is None or kind is bool:
        return True
    if kind is list or kind is tuple:
        return all([_check(item, depth + 1) for item in value])  # type: ignore[attr-defined]  # noqa: C419
    if kind is dict:
        return _check_object(value, depth)  # type: ignore[arg-type]
    raise Invalid("core.not_canonical", f"A value of type {kind.__name__} has no canonical form.", _REMEDY)


def _check_object(value: dict[object, object], depth: int) -> bool:
    ascii_names = True
    for key, item in value.items():
        if type(key) is not str:
            raise Invalid("core.not_canonical", "An object key is not text.", _REMEDY)
        if not key.isascii():
            _check_text(key)
            ascii_names = False
        ascii_names &= _check(item, depth + 1)
    return ascii_names


def _check_text(value: str) -> None:
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Invalid("core.not_canonical", "A text is not valid Unicode.", _REMEDY) from None


def encode(value: object) -> bytes:
    """Return the one canonical UTF-8 encoding of `value` (RFC 8785); raise `core.not_canonical` if it has none."""
    if _check(value, 0):
        # Between ASCII names the order by code points is the order by UTF-16 units, and for integers, text and
        # literals the standard encoder writes what RFC 8785 asks for; a property test holds both encoders together.
        return _plain(value).encode()
    return rfc8785.dumps(value)  # type: ignore[arg-type]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("core.not_canonical", "An object names one key twice.", _REMEDY)
    return found


def _no_float(text: str) -> Any:
    raise Invalid("core.not_canonical", f"The number {text[:20]} is not a whole number.", _REMEDY)


class NotUtf8(ValueError):
    """Bytes that are another encoding than plain UTF-8."""


def utf8(data: bytes) -> str:
    """The text of JSON bytes, which is UTF-8 without a byte order mark (RFC 8259, section 8.1), or NotUtf8.

    Given bytes, the standard parser guesses UTF-16 and UTF-32 and drops a mark: one document, several spellings.
    """
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:4]:
        raise NotUtf8("The JSON begins with a byte order mark or is UTF-16 or UTF-32; only plain UTF-8 is read.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise NotUtf8("The JSON is not UTF-8.") from None


def decode(data: bytes) -> Any:
    """Parse JSON and require that `data` is already its canonical form (one reading, one digest)."""
    try:
        value = json.loads(
            utf8(data), object_pairs_hook=_no_duplicates, parse_float=_no_float, parse_constant=_no_float
        )
    except NotUtf8 as error:
        raise Invalid("core.not_canonical", str(error), _REMEDY) from None
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
