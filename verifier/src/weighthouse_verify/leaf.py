"""The strict reading of one entry (`--strict` only, since it costs time). Guards readers from two meanings.

An entry is canonical JSON (RFC 8785, whole numbers only) with exactly the fields of schema version 1.
"""

from __future__ import annotations

import json
from typing import Any

_FIELDS = {"v", "kind", "version", "at", "actor", "request", "subject", "data"}

_TYPES = {"kind": str, "version": int, "at": int, "actor": str, "request": str, "subject": str, "data": dict}
_EXACT = 2**53  # the whole numbers that every reader of JSON reads alike


def defect(leaf: bytes) -> str | None:
    """Return what is wrong with the bytes of an entry, None if nothing is."""
    try:
        value = strict(leaf)
        if canonical(value) != leaf:
            return "its JSON is not in canonical form"
    except (ValueError, RecursionError) as error:
        return f"it is not strict JSON ({error})"
    if not isinstance(value, dict) or value.keys() != _FIELDS or value["v"] is True or value["v"] != 1:
        return "it has not exactly the fields of schema version 1"
    if not all(type(value[name]) is kind for name, kind in _TYPES.items()):
        return "a field of it is not of its type"
    return None


def strict(raw: bytes) -> Any:
    """Read JSON in which no key stands twice and every number is whole; raise ValueError or RecursionError."""
    return json.loads(
        raw.decode("utf-8"), object_pairs_hook=_pairs, parse_int=_whole, parse_float=_no, parse_constant=_no
    )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _whole(text: str) -> int:
    if not -_EXACT < (number := int(text)) < _EXACT:
        raise ValueError(f"{text[:20]} is beyond 2^53")
    return number


def _no(text: str) -> Any:
    raise ValueError(f"{text[:20]} is not a whole number")


def canonical(value: Any) -> bytes:
    """Return the one form of a document (RFC 8785)."""
    return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=lambda k: k.encode("utf-16-be"))}
    return [_ordered(item) for item in value] if isinstance(value, list) else value
