"""The strict forms: canonical JSON, safetensors headers, names. Guards parsers from hostile lengths and depths.

Every limit (`limits`) is checked before memory is taken for what it bounds, by reader and writer alike. A header
must describe its data exactly: no gap, no overlap, no product that overflows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import limits
from .dtypes import DTYPES, check_dtype
from .errors import FormatError
from .names import RESERVED, check_name

_HEX_ID = re.compile(r"[0-9a-f]{32}")
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
    if depth > limits.DEPTH.most:
        why = f"A document has more levels of nesting than the limit DEPTH, {limits.DEPTH.most}."
        raise FormatError("formats.not_canonical", why, limits.DEPTH.remedy)
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
        if not _is_unicode(value):
            raise FormatError("formats.not_canonical", "A text is not valid Unicode.", "Use valid Unicode.")
    elif isinstance(value, int) and not isinstance(value, bool):
        if not -(2**53) < value < 2**53:
            raise FormatError("formats.not_canonical", "A number is outside 2^53.", "Use a smaller number.")
    elif value is not None and not isinstance(value, bool):
        why = f"A value of type {type(value).__name__} has no canonical form."
        raise FormatError("formats.not_canonical", why, "Use text, whole numbers, booleans, null, lists and objects.")


def _is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def strict_json(data: bytes, limit: limits.Limit, what: str) -> Any:
    """Parse JSON of at most `limit` bytes of UTF-8: no key twice, no fraction, no NaN, no deep nesting."""
    limit.check(len(data), what)
    # Each bracket becomes an object of some sixty bytes: two bytes of text must not cost that without end.
    limits.BRACKETS.check(data.count(b"[") + data.count(b"{"), what)
    text = utf8(data, what)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_float=_whole, parse_constant=_whole)
    except (ValueError, RecursionError):
        raise FormatError("formats.not_json", f"{what} is not strict JSON.", _AGAIN) from None


def utf8(data: bytes, what: str) -> str:
    """The text of JSON bytes, which is UTF-8 without a byte order mark (RFC 8259, section 8.1).

    Given bytes, the standard parser guesses UTF-16 and UTF-32 and drops a mark: one document, several spellings.
    """
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:4]:
        why = f"{what} begins with a byte order mark or is UTF-16 or UTF-32; only plain UTF-8 is read."
        raise FormatError("formats.not_utf8", why, "Write it as UTF-8 without a byte order mark.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FormatError("formats.not_utf8", f"{what} is not UTF-8.", "Write it as UTF-8.") from None


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


def check_tensor(name: str, dtype: object, shape: object, length: int) -> tuple[str, tuple[int, ...]]:
    """Return (dtype, shape) if both are known and their product is exactly `length` bytes."""
    kind = check_dtype(dtype, f"Tensor {name!r}")
    if not isinstance(shape, list | tuple):
        raise FormatError("formats.shape", f"Tensor {name!r} has no usable shape.", _AGAIN)
    limits.DIMENSIONS.check(len(shape), f"Tensor {name!r}")
    total = span = DTYPES[kind]
    for side in shape:
        if type(side) is not int or side < 0:
            raise FormatError("formats.shape", f"Tensor {name!r} has a side that is no length.", _AGAIN)
        if side > limits.SIDE.most:
            limits.SIDE.check(side, f"Tensor {name!r}")
        total *= side
        span *= side or 1  # an array without elements is strided all the same: beyond 63 bits no library makes it
    if span > limits.SPAN.most:
        limits.SPAN.check(span, f"Tensor {name!r}")
    if total != length:
        why = f"Tensor {name!r}: shape and dtype give {total} bytes, not {length}."
        raise FormatError("formats.shape", why, _AGAIN)
    return kind, tuple(shape)


def check_metadata(metadata: object) -> dict[str, str]:
    """Return text to text of at most METADATA bytes; it is the writer's own and means nothing to this package."""
    if not isinstance(metadata, Mapping):
        raise FormatError("formats.metadata", "The metadata is not text to text.", "Give a dict of str to str.")
    total = 0
    for text in (*metadata.keys(), *metadata.values()):
        if type(text) is not str or not _is_unicode(text):
            raise FormatError("formats.metadata", "The metadata is not text to text.", "Give a dict of str to str.")
        total += len(text.encode())
    limits.METADATA.check(total, "The metadata")
    return dict(metadata)


def header_length(prefix: bytes | memoryview) -> int:
    """The length of a safetensors header from the file's first 8 bytes, refused above the limit HEADER.

    These bytes are a number and are read as one: a length of 640, 896, 1152 or 1408 (and 65,536 more, again and
    again) is spelled as some pickles begin. What a foreign file is, `refuse_code` says.
    """
    if len(prefix) < 8:
        raise FormatError("formats.header", "The file ends before its safetensors header.", _AGAIN)
    length = limits.HEADER.check(int.from_bytes(prefix[:8], "little"), "The file")
    if length < 2:
        raise FormatError("formats.header", f"A safetensors header of {length} bytes is not accepted.", _AGAIN)
    return length


def parse_header(header: bytes, data: int) -> tuple[list[Entry], dict[str, str]]:
    """Parse a safetensors header that must describe exactly `data` bytes.

    Entries come in order of their place; the second value is the file's metadata.
    """
    table = strict_json(header, limits.HEADER, "The safetensors header")
    if not isinstance(table, dict):
        raise FormatError("formats.header", "The safetensors header is no table.", _AGAIN)
    metadata = check_metadata(table.pop(RESERVED, {}))
    limits.TENSORS.check(len(table), "The safetensors header")
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
    return entries, metadata


def _entry(name: str, value: object) -> Entry:
    check_name(name)
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError("formats.header", f"Tensor {name!r} has missing or unknown fields.", _AGAIN)
    offsets = value["data_offsets"]
    whole = isinstance(offsets, list) and len(offsets) == 2 and all(type(at) is int for at in offsets)
    if not whole or not 0 <= offsets[0] <= offsets[1] < 1 << 60:
        raise FormatError("formats.offsets", f"Tensor {name!r} has offsets that are no range.", _AGAIN)
    dtype, shape = check_tensor(name, value["dtype"], value["shape"], offsets[1] - offsets[0])
    return Entry(name, dtype, shape, offsets[0], offsets[1])


def build_header(
    tensors: Iterable[tuple[str, str, tuple[int, ...], int]], metadata: Mapping[str, str] | None = None
) -> tuple[bytes, list[Entry]]:
    """Make the header (with its 8-byte length) for (name, dtype, shape, bytes) in the given order."""
    entries: list[Entry] = []
    at = 0
    for name, dtype, shape, length in tensors:
        check_tensor(check_name(name), dtype, shape, length)
        entries.append(Entry(name, dtype, tuple(shape), at, at + length))
        at += length
    limits.TENSORS.check(len(entries), "The shard")
    header = encode_header(entries, check_metadata(metadata or {}))
    limits.HEADER.check(len(header) - 8, "The shard")
    return header, entries


def encode_header(entries: Iterable[Entry], metadata: Mapping[str, str]) -> bytes:
    """A header's bytes, padded with spaces to an 8-byte border as the reference writer does; asks no limit."""
    table: dict[str, Any] = {RESERVED: dict(sorted(metadata.items()))} if metadata else {}
    for entry in entries:
        if entry.name in table:
            raise FormatError("formats.duplicate", f"Two tensors are named {entry.name!r}.", "Rename one.")
        offsets = [entry.begin, entry.end]
        table[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def refuse_code(head: bytes, name: str = "") -> None:
    """Refuse a foreign file whose first bytes or name mean pickle: torch archives, NumPy objects, DCP `.metadata`.

    For files of unknown making only, and never for a shard of ours, which the manifest's signature speaks for. A
    table that begins after the length is no pickle, whatever the length is spelled like.
    """
    endings = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".metadata", ".npz", ".joblib")
    table = head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= limits.HEADER.most
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and not table
    if pickled or head[:4] == b"PK\x03\x04" or head[:6] == b"\x93NUMPY" or name.lower().endswith(endings):
        why = f"{name or 'This file'} is or may be a pickle; loading one runs its author's code."
        raise FormatError("formats.pickle", why, "Convert it to safetensors in a sandbox first.")
