"""The encrypted index: which tensor lies where. Guards names and shapes, which tell a model's architecture.

It is a small FLOE file under a data key of its own, listed and signed in the manifest like any shard. Every place it
names must lie inside the shard that it names, and no two tensors may overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import FormatError
from .formats import MAX_TENSORS, Entry, canonical, check_name, check_tensor, strict_json

FORMAT = "weighthouse-index/1"
MAX_INDEX = 64 << 20
_REMEDY = "Save the checkpoint again; this index cannot be used."


@dataclass(frozen=True, slots=True)
class Located:
    """A tensor's place: `offset` and `length` in bytes of the plaintext of shard number `shard`."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Index:
    """All tensors by name, and the length of each shard's safetensors header."""

    headers: tuple[int, ...]
    tensors: Mapping[str, Located]

    def names(self, shard: int) -> list[str]:
        """Names of the tensors in one shard, in order of their place."""
        inside = [(place.offset, place.length, name) for name, place in self.tensors.items() if place.shard == shard]
        return [name for _, _, name in sorted(inside)]

    def entries(self, shard: int) -> list[Entry]:
        """What the shard's own safetensors header must say."""
        start = self.headers[shard]
        found = []
        for name in self.names(shard):
            place = self.tensors[name]
            begin = place.offset - start
            found.append(Entry(name, place.dtype, place.shape, begin, begin + place.length))
        return found


def build(shards: Sequence[tuple[int, Sequence[Entry]]]) -> bytes:
    """Encode the index of shards given as (header length, entries)."""
    table: dict[str, Any] = {}
    for number, (header, entries) in enumerate(shards):
        for entry in entries:
            if entry.name in table:
                raise FormatError("formats.duplicate", f"Two tensors are named {entry.name!r}.", "Rename one.")
            size = entry.end - entry.begin
            table[entry.name] = [entry.dtype, list(entry.shape), number, header + entry.begin, size]
    listed = [[name, *place] for name, place in table.items()]
    return canonical({"format": FORMAT, "headers": [header for header, _ in shards], "tensors": listed})


def parse(data: bytes, plaintexts: Sequence[int]) -> Index:
    """Parse an index whose data shards have these plaintext lengths; raise `formats.index` for anything odd."""
    document = strict_json(data, MAX_INDEX, "The index")
    try:
        headers, listed = document["headers"], document["tensors"]
        sane = document["format"] == FORMAT and len(headers) == len(plaintexts) and len(listed) <= MAX_TENSORS
        sane = sane and all(type(at) is int and 8 <= at <= end for at, end in zip(headers, plaintexts, strict=True))
        if not sane:
            raise ValueError
        tensors = dict(_located(row, headers, plaintexts) for row in listed)
    except (KeyError, TypeError, ValueError):
        raise FormatError("formats.index", "The index is malformed.", _REMEDY) from None
    index = Index(tuple(headers), tensors)
    if len(tensors) != len(listed) or any(_gaps(index, at, end) for at, end in enumerate(plaintexts)):
        raise FormatError("formats.index", "The index leaves a gap, overlaps, or names a tensor twice.", _REMEDY)
    return index


def _located(row: list[Any], headers: Sequence[int], plaintexts: Sequence[int]) -> tuple[str, Located]:
    name, dtype, shape, shard, offset, length = row
    if any(type(value) is not int for value in (shard, offset, length)) or not 0 <= shard < len(plaintexts):
        raise ValueError
    if length < 0 or offset < headers[shard] or offset + length > plaintexts[shard]:
        raise ValueError
    kind, sides = check_tensor(check_name(name), dtype, shape, length)
    return name, Located(kind, sides, shard, offset, length)


def _gaps(index: Index, shard: int, end: int) -> bool:
    at = index.headers[shard]
    for name in index.names(shard):
        if index.tensors[name].offset != at:
            return True
        at += index.tensors[name].length
    return at != end
