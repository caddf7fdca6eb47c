"""The canonical bytes of one entry, and the commitments that stand for personal values in them.

Guards readers from two meanings of one entry (RFC 8785, fixed fields, schema version) and people from being written
for ever: a personal value enters a leaf only as SHA-256 of a fresh 32-byte salt and the value, so it can be erased.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from weighthouse.audit.model import Leaf, Personal
from weighthouse.audit.rules.tiles import MAX_ENTRY_BYTES
from weighthouse.core import canonical
from weighthouse.core.errors import Conflict, Invalid

SCHEMA = 1
SALT_BYTES = 32
_FIELDS = frozenset({"v", "kind", "version", "at", "actor", "request", "subject", "data"})


def build(leaf: Leaf) -> bytes:
    """Return the canonical bytes of `leaf`.

    Raises `core.not_canonical` for floats, NaN, invalid Unicode or numbers out of range, and `audit.entry_too_large`
    above 65,535 bytes, which is the most an entry bundle can hold.
    """
    encoded = canonical.encode(
        {
            "v": SCHEMA,
            "kind": leaf.kind,
            "version": leaf.version,
            "at": leaf.at,
            "actor": leaf.actor,
            "request": leaf.request,
            "subject": leaf.subject,
            "data": leaf.data,
        }
    )
    if len(encoded) > MAX_ENTRY_BYTES:
        raise Invalid(
            "audit.entry_too_large",
            f"The entry {leaf.kind} has {len(encoded)} bytes; an entry of the log has at most {MAX_ENTRY_BYTES}.",
            "Store the large part elsewhere and log its digest.",
        )
    return encoded


def parse(data: bytes) -> Leaf:
    """Read a leaf strictly: canonical bytes, exactly the known fields, each of its type; else `audit.bad_leaf`."""
    try:
        value = canonical.decode(data)
    except Invalid as error:
        raise _bad(error.message) from None
    if not isinstance(value, dict) or value.keys() != _FIELDS or value["v"] != SCHEMA:
        raise _bad("It has not exactly the fields of schema version 1.")
    texts = (value[name] for name in ("kind", "actor", "request", "subject"))
    numbers = (value[name] for name in ("v", "version", "at"))
    if not all(isinstance(text, str) for text in texts) or not isinstance(value["data"], dict):
        raise _bad("A field is not of its type.")
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise _bad("A number is not a whole number.")
    del value["v"]
    return Leaf(**value)


def _bad(why: str) -> Invalid:
    return Invalid(
        "audit.bad_leaf",
        f"The bytes are not an entry of this log. {why}",
        "This software never writes such bytes. Export the log with `weighthouse audit export FOLDER`; "
        "`weighthouse audit verify FOLDER` then says which entry is wrong.",
    )


def commit(salt: bytes, value: object) -> str:
    """Return the commitment `sha256:<hex>` to `value` under `salt`."""
    return "sha256:" + hashlib.sha256(salt + canonical.encode(value)).hexdigest()


def conceal(
    data: Mapping[str, Any], personal: Iterable[str], owner: str, salt: Callable[[], bytes]
) -> tuple[dict[str, Any], list[Personal]]:
    """Replace each personal value in `data` by its commitment; return the new data and what the side table keeps."""
    concealed, kept = dict(data), []
    for name in sorted(personal):
        value = concealed.get(name)
        if value is None or value == "":
            continue
        drawn = salt()
        commitment = commit(drawn, value)
        concealed[name] = {"commitment": commitment}
        kept.append(Personal(commitment, owner, drawn, canonical.encode(value).decode()))
    return concealed, kept


def owner_of(data: Mapping[str, Any], actor: str) -> str:
    """Return whom an event's personal values are about: its `person`, else its `principal`, else who acted."""
    for name in ("person", "principal"):
        value = data.get(name)
        if isinstance(value, str) and value:
            return value
    return actor


def commitments_in(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of `data` that hold a commitment."""
    return {
        name: value["commitment"]
        for name, value in data.items()
        if isinstance(value, dict) and value.keys() == {"commitment"} and isinstance(value["commitment"], str)
    }


def open_commitment(commitment: str, salt: bytes, clear: str) -> Any:
    """Return the clear value if it is what was committed to; raise `audit.personal_altered` if somebody edited it."""
    value = canonical.decode(clear.encode())
    if commit(salt, value) != commitment:
        raise Conflict(
            "audit.personal_altered",
            "A personal value kept beside the log is not the one the log committed to, so it is not shown.",
            "Somebody edited the side table: treat it as an incident and compare with a backup.",
        )
    return value
