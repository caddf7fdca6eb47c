"""The encrypted index: which tensor lies where. Guards names and shapes, which tell a model's architecture.

It is a small FLOE file under a data key of its own, listed and signed in the manifest like any shard. Every place it
names must lie inside the shard that it names, and no two tensors may overlap. The producer's own texts (metadata) are
in here too, never in the clear: they cost a reader what every byte of a version costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import limits
from .errors import FormatError
from .formats import Entry, canonical, check_metadata, check_tensor, strict_json
from .names import check_name

FORMAT = "weighthouse-index/2"
OLD_FORMAT = "weighthouse-index/1"  # without metadata; read for ever, no longer written
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
    """All tensors by name, the length of each shard's safetensors header, and the metadata of them all."""

    headers: tuple[int, ...]
    tensors: Mapping[str, Located]
    metadata: Mapping[str, str]
    shards: tuple[tuple[str, ...], ...]

    def names(self, shard: int) -> tuple[str, ...]:
        """Names of the tensors in one shard, in order of their place."""
        return self.shards[shard]

    def entries(self, shard: int) -> list[Entry]:
        """What the shard's own safetensors header must say."""
        start = self.headers[shard]
        found = []
        for name in self.shards[shard]:
            place = self.tensors[name]
            begin = place.offset - start
            found.append(Entry(name, place.dtype, place.shape, begin, begin + place.length))
        return found


def build(shards: Sequence[tuple[int, Sequence[Entry]]], metadata: Mapping[str, str] | None = None) -> bytes:
    """Encode the index of shards given as (header length, entries)."""
    table: dict[str, Any] = {}
    for number, (header, entries) in enumerate(shards):
        for entry in entries:
            if entry.name in table:
                raise FormatError("formats.duplicate", f"Two tensors are named {entry.name!r}.", "Rename one.")
            size = entry.end - entry.begin
            table[entry.name] = [entry.dtype, list(entry.shape), number, header + entry.begin, size]
    limits.TENSORS.check(len(table), "The checkpoint")
    pairs = [list(pair) for pair in sorted(check_metadata(metadata or {}).items())]
    listed = [[name, *place] for name, place in table.items()]
    headers = [header for header, _ in shards]
    data = canonical({"format": FORMAT, "headers": headers, "metadata": pairs, "tensors": listed})
    limits.INDEX.check(len(data), "The checkpoint")
    return data


def parse(data: bytes, plaintexts: Sequence[int]) -> Index:
    """Parse an index whose data shards have these plaintext lengths; raise `formats.*` for anything odd."""
    document = strict_json(data, limits.INDEX, "The index")
    try:
        if canonical(document) != data:  # one checkpoint has one index: nothing is hidden in how it is written
            raise ValueError
        headers, listed = document["headers"], document["tensors"]
        pairs = _metadata(document)
        sane = len(headers) == len(plaintexts) and isinstance(listed, list)
        sane = sane and all(type(at) is int and 8 <= at <= end for at, end in zip(headers, plaintexts, strict=True))
        if not sane:
            raise ValueError
        limits.TENSORS.check(len(listed), "The index")
        tensors = dict(_located(row, headers, plaintexts) for row in listed)
    except (KeyError, TypeError, ValueError):
        raise FormatError("formats.index", "The index is malformed.", _REMEDY) from None
    shards = _by_shard(tensors, len(plaintexts))
    index = Index(tuple(headers), tensors, pairs, shards)
    if len(tensors) != len(listed) or any(_gaps(index, at, end) for at, end in enumerate(plaintexts)):
        raise FormatError("formats.index", "The index leaves a gap, overlaps, or names a tensor twice.", _REMEDY)
    return index


def _metadata(document: Mapping[str, Any]) -> dict[str, str]:
    if document["format"] == OLD_FORMAT and "metadata" not in document:
        return {}
    if document["format"] != FORMAT:
        raise ValueError
    pairs = [(key, value) for key, value in document["metadata"]]
    if sorted(dict(pairs).items()) != pairs:
        raise ValueError
    return check_metadata(dict(pairs))


def _located(row: list[Any], headers: Sequence[int], plaintexts: Sequence[int]) -> tuple[str, Located]:
    name, dtype, shape, shard, offset, length = row
    if any(type(value) is not int for value in (shard, offset, length)) or not 0 <= shard < len(plaintexts):
        raise ValueError
    if length < 0 or offset < headers[shard] or offset + length > plaintexts[shard]:
        raise ValueError
    kind, sides = check_tensor(check_name(name), dtype, shape, length)
    return name, Located(kind, sides, shard, offset, length)


def _by_shard(tensors: Mapping[str, Located], count: int) -> tuple[tuple[str, ...], ...]:
    """Each shard's names in order of their place, in one pass: asking shard by shard would be quadratic."""
    inside: list[list[tuple[int, int, str]]] = [[] for _ in range(count)]
    for name, place in tensors.items():
        inside[place.shard].append((place.offset, place.length, name))
    return tuple(tuple(name for _, _, name in sorted(each)) for each in inside)


def _gaps(index: Index, shard: int, end: int) -> bool:
    at = index.headers[shard]
    for name in index.names(shard):
        if index.tensors[name].offset != at:
            return True
        at += index.tensors[name].length
    return at != end
