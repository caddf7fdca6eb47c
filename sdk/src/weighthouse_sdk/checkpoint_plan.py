"""What a save will be, worked out and judged before its first byte. Guards against writing what no load would take.

`prepare` is the one function that asks every limit a reader enforces: names, dtypes, shapes, counts, lengths of
headers, index and manifest, and the largest file that this process may write. It then reads headers, index and
manifest back with the loader's own parsers. What it returns is what is written, byte for byte.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import checkpoint_index, floe, limits, manifest
from .checkpoint_tensors import measure
from .checkpoint_tickets import SaveTicket
from .errors import CheckpointError
from .formats import Entry, build_header, check_metadata, parse_header
from .names import check_name

_LARGEST = (1 << 53) - 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """Each shard's header and places, and the index over them."""

    headers: tuple[bytes, ...]
    entries: tuple[tuple[Entry, ...], ...]
    index: bytes


def prepare(
    tensors: Mapping[str, Any], plan: Sequence[Sequence[str]], ticket: SaveTicket, metadata: Mapping[str, str]
) -> Prepared:
    """Judge a whole save; raise `checkpoint.plan`, `checkpoint.dtype`, `checkpoint.too_large` or `formats.*`."""
    _check_plan(tensors, plan, ticket)
    metadata = check_metadata(metadata)
    headers, contents = [], []
    for names in plan:
        sizes = [(name, m.dtype, m.shape, m.length) for name in names for m in (measure(name, tensors[name]),)]
        header, entries = build_header(sizes, metadata)
        headers.append(header)
        contents.append(entries)
    lengths = [(len(header), entries) for header, entries in zip(headers, contents, strict=True)]
    index = checkpoint_index.build(lengths, metadata)
    _read_back(headers, contents, index, metadata)
    _check_files([*(_plain(header, entries) for header, entries in zip(headers, contents, strict=True)), len(index)])
    _check_manifest(ticket)
    return Prepared(tuple(headers), tuple(map(tuple, contents)), index)


def _check_plan(tensors: Mapping[str, Any], plan: Sequence[Sequence[str]], ticket: SaveTicket) -> None:
    limits.TENSORS.check(len(tensors), "The checkpoint")
    for name in tensors:
        check_name(name)
    if not isinstance(plan, list | tuple) or not all(isinstance(names, list | tuple) for names in plan):
        raise _bad_plan("The plan is not a list of lists of names.")
    limits.SHARDS.check(len(plan), "The plan")
    if len(plan) != len(ticket.bindings) - 1:
        why = f"The ticket is for {len(ticket.bindings) - 1} shards, the plan has {len(plan)}."
        raise CheckpointError("checkpoint.plan", why, "Ask for a ticket with as many shards as the plan.")
    planned: set[str] = set()
    for name in (name for names in plan for name in names):
        if not isinstance(name, str) or name not in tensors:
            raise _bad_plan(f"The plan names {name!r}, which is not among the tensors.")
        if name in planned:
            raise _bad_plan(f"The plan names {name!r} twice.")
        planned.add(name)
    left = next((name for name in tensors if name not in planned), None)
    if left is not None:
        raise _bad_plan(f"The plan forgets {left!r}; it would be lost.")


def _bad_plan(why: str) -> CheckpointError:
    return CheckpointError("checkpoint.plan", why, "Name each tensor in exactly one shard, or give no plan.")


def _plain(header: bytes, entries: Sequence[Entry]) -> int:
    return len(header) + (entries[-1].end if entries else 0)


def _read_back(
    headers: Sequence[bytes], contents: Sequence[Sequence[Entry]], index: bytes, metadata: Mapping[str, str]
) -> None:
    """What the loader's own parsers make of it must be what was meant."""
    read = checkpoint_index.parse(index, [_plain(*pair) for pair in zip(headers, contents, strict=True)])
    for number, (header, entries) in enumerate(zip(headers, contents, strict=True)):
        placed = read.entries(number)
        data = entries[-1].end if entries else 0
        if parse_header(header[8:], data) != (placed, metadata) or sorted(placed, key=_place) != sorted(
            entries, key=_place
        ):
            raise _unreadable(f"the header of shard {number}")
    if read.metadata != metadata:
        raise _unreadable("the metadata")


def _place(entry: Entry) -> tuple[int, int, str]:
    return entry.begin, entry.end, entry.name


def _unreadable(what: str) -> CheckpointError:
    why = f"What would be written could not be read back: {what}."
    return CheckpointError("checkpoint.read_back", why, "Nothing was written; report the names and shapes.")


def _check_files(plaintexts: Sequence[int]) -> None:
    """No file may pass what this process is allowed to write: a sandbox's limit would cut it off half way."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    for number, plain in enumerate(plaintexts):
        length = floe.shape_of_plaintext(plain).length
        if most != resource.RLIM_INFINITY and length > most:
            why = f"Shard {number} would be a file of {length} bytes; the limit RLIMIT_FSIZE here is {most}."
            raise CheckpointError("checkpoint.too_large", why, "Plan smaller shards, or split the tensor.")


def _check_manifest(ticket: SaveTicket) -> None:
    """The manifest with the largest numbers it could have must be one that a reader takes."""
    shards = tuple(
        manifest.Shard(binding.shard, binding.index, binding.media, _LARGEST, _LARGEST, "0" * 64, "0" * 64)
        for binding in ticket.bindings
    )
    manifest.check(manifest.Manifest(ticket.tenant, ticket.model, ticket.version, ticket.save, ticket.parent, shards))
