"""The strict forms: canonical JSON, safetensors headers, names. Guards parsers from hostile lengths and depths.

Every limit is checked before memory is taken for what it bounds. Pickle in any wrapping is refused, because loading
it runs the author's code. A header must describe its data exactly: no gap, no overlap, no product that overflows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import FormatError

DTYPES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
MAX_HEADER = 16 << 20
MAX_TENSORS = 100_000
MAX_BRACKETS = 10 * MAX_TENSORS
MAX_NAME = 1024
MAX_DIMENSIONS = 16
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_DEEP = 8
_AGAIN = "Make the file again with a writer that follows the safetensors format."


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a safetensors file: bytes [begin, end) of the data after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def canonical(value: object) -> bytes:
    """RFC 8785 canonical JSON of text, whole numbers, booleans, null, lists and objects with ASCII keys."""
    _check_canonical(value, 0)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _check_canonical(value: object, depth: int) -> None:
    if depth > _DEEP:
        raise FormatError("formats.not_canonical", "A document is nested too deep.", "Flatten it.")
    if isinstance(value, dict):
        # Order by code point equals RFC 8785's order by UTF-16 unit only below the surrogates; ASCII is enough.
        if not all(isinstance(key, str) and key.isascii() for key in value):
            raise FormatError("formats.not_canonical", "An object key is not ASCII text.", "Use ASCII keys.")
        for item in value.values():
            _check_canonical(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_canonical(item, depth + 1)
    elif isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise FormatError("formats.not_canonical", "A text is not valid Unicode.", "Use valid Unicode.")
    elif isinstance(value, int) and not isinstance(value, bool):
        if not -(2**53) < value < 2**53:
            raise FormatError("formats.not_canonical", "A number is outside 2^53.", "Use a smaller number.")
    elif value is not None and not isinstance(value, bool):
        why = f"A value of type {type(value).__name__} has no canonical form."
        raise FormatError("formats.not_canonical", why, "Use text, whole numbers, booleans, null, lists and objects.")


def strict_json(data: bytes, limit: int, what: str) -> Any:
    """Parse JSON of at most `limit` bytes: no key twice, no fraction, no NaN, no deep nesting."""
    if len(data) > limit:
        raise FormatError("formats.too_large", f"{what} has {len(data)} bytes; the limit is {limit}.", _AGAIN)
    # Each bracket becomes an object of some sixty bytes: two bytes of text must not cost that without end.
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise FormatError("formats.too_large", f"{what} holds more lists and objects than any good one.", _AGAIN)
    try:
        return json.loads(data, object_pairs_hook=_once, parse_float=_whole, parse_constant=_whole)
    except (ValueError, RecursionError):
        raise FormatError("formats.not_json", f"{what} is not strict JSON.", _AGAIN) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("formats.duplicate", "A JSON object names one key twice.", _AGAIN)
    return found


def _whole(text: str) -> Any:
    raise FormatError("formats.not_json", f"{text[:20]} is not a whole number.", _AGAIN)


def check_shard_id(value: object) -> str:
    """Return `value` if it is 32 lower-case hex digits; anything else could name a path (`../`, NUL, look-alikes)."""
    if not isinstance(value, str) or _HEX_ID.fullmatch(value) is None:
        raise FormatError("formats.shard_id", "A shard id is 32 lower-case hex digits.", "Use the ids of the ticket.")
    return value


def check_name(name: object) -> str:
    """Return a tensor name of at most 1024 printable characters."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable() or name == "__metadata__":
        raise FormatError("formats.name", "A tensor name is empty, too long or not printable.", "Rename the tensor.")
    return name


def check_tensor(name: str, dtype: object, shape: object, length: int) -> tuple[str, tuple[int, ...]]:
    """Return (dtype, shape) if both are known and their product is exactly `length` bytes."""
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError("formats.dtype", f"Tensor {name!r} has a dtype this format does not know.", _AGAIN)
    if not isinstance(shape, list | tuple) or len(shape) > MAX_DIMENSIONS:
        raise FormatError("formats.shape", f"Tensor {name!r} has no usable shape.", _AGAIN)
    total = DTYPES[dtype]
    for side in shape:
        if not isinstance(side, int) or isinstance(side, bool) or side < 0 or side >= 1 << 48:
            raise FormatError("formats.shape", f"Tensor {name!r} has a side that is no length.", _AGAIN)
        total *= side
    if total != length:
        raise FormatError(
            "formats.shape", f"Tensor {name!r}: shape and dtype give {total} bytes, not {length}.", _AGAIN
        )
    return dtype, tuple(shape)


def header_length(prefix: bytes | memoryview) -> int:
    """The length of a safetensors header from the file's first 8 bytes, refused above 16 MiB."""
    refuse_code(bytes(prefix[:8]))
    length = int.from_bytes(prefix[:8], "little")
    if len(prefix) < 8 or not 2 <= length <= MAX_HEADER:
        raise FormatError("formats.header", f"A safetensors header of {length} bytes is not accepted.", _AGAIN)
    return length


def parse_header(header: bytes, data: int) -> list[Entry]:
    """Parse a safetensors header that must describe exactly `data` bytes; entries come in order of their place."""
    table = strict_json(header, MAX_HEADER, "The safetensors header")
    if not isinstance(table, dict) or len(table) > MAX_TENSORS + 1:
        raise FormatError("formats.header", "The safetensors header is no table of a sane size.", _AGAIN)
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError("formats.header", "The safetensors metadata is not text to text.", _AGAIN)
    entries = sorted(
        (_entry(name, value) for name, value in table.items()), key=lambda entry: (entry.begin, entry.end, entry.name)
    )
    at = 0
    for entry in entries:
        if entry.begin != at:
            raise FormatError("formats.offsets", f"Tensor {entry.name!r} overlaps another or leaves a hole.", _AGAIN)
        at = entry.end
    if at != data:
        raise FormatError("formats.offsets", f"The header describes {at} bytes, the file has {data}.", _AGAIN)
    return entries


def _entry(name: str, value: object) -> Entry:
    check_name(name)
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise FormatError("formats.header", f"Tensor {name!r} has missing or unknown fields.", _AGAIN)
    offsets = value["data_offsets"]
    whole = isinstance(offsets, list) and len(offsets) == 2 and all(type(at) is int for at in offsets)
    if not whole or not 0 <= offsets[0] <= offsets[1] < 1 << 60:
        raise FormatError("formats.offsets", f"Tensor {name!r} has offsets that are no range.", _AGAIN)
    dtype, shape = check_tensor(name, value["dtype"], value["shape"], offsets[1] - offsets[0])
    return Entry(name, dtype, shape, offsets[0], offsets[1])


def build_header(tensors: Iterable[tuple[str, str, tuple[int, ...], int]]) -> tuple[bytes, list[Entry]]:
    """Make the header (with its 8-byte length) for (name, dtype, shape, bytes) in the given order.

    The header is padded with spaces so that the data begins on an 8-byte border, as the reference writer does.
    """
    table: dict[str, Any] = {}
    entries: list[Entry] = []
    at = 0
    for name, dtype, shape, length in tensors:
        check_tensor(check_name(name), dtype, shape, length)
        if name in table:
            raise FormatError("formats.duplicate", f"Two tensors are named {name!r}.", "Rename one.")
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + length]}
        entries.append(Entry(name, dtype, tuple(shape), at, at + length))
        at += length
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER or len(entries) > MAX_TENSORS:
        raise FormatError("formats.header", "Too many tensors for one shard.", "Use more shards.")
    return len(text).to_bytes(8, "little") + text, entries


def refuse_code(head: bytes, name: str = "") -> None:
    """Refuse bytes or names that mean pickle: torch archives, raw pickles, NumPy objects, DCP `.metadata`."""
    endings = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".metadata", ".npz", ".joblib")
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if pickled or head[:4] == b"PK\x03\x04" or head[:6] == b"\x93NUMPY" or name.lower().endswith(endings):
        why = f"{name or 'This file'} is or may be a pickle; loading one runs its author's code."
        raise FormatError("formats.pickle", why, "Convert it to safetensors in a sandbox first.")
