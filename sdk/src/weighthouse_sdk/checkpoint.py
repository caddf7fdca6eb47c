"""Save and load encrypted checkpoints. Guards weights between the caller's memory and any storage.

Save: each shard is a safetensors file inside a FLOE file under its own fresh data key; the manifest over all of
them is signed with the run's ephemeral key. Nothing is overwritten, nothing plain is written, and nothing counts
before the control plane has committed the manifest. Load: the manifest must be the one the control plane remembers,
each shard must have exactly the signed length, header and (unless only tags are asked) Merkle root; plaintext goes
straight into buffers the caller owns, and is wiped from them if anything is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import checkpoint_index, floe
from .checkpoint_binding import Recipient
from .checkpoint_bundle import Bundle, open_bundle, parse_bundle
from .checkpoint_index import Index
from .checkpoint_reading import Reader, check_header, checked_manifest, foreign, opened
from .checkpoint_saving import save
from .checkpoint_tensors import Tensor, apart, destination, fresh, plan_shards
from .checkpoint_tickets import LoadTicket, SaveTicket, parse_load, parse_save
from .errors import CheckpointError
from .floe_files import Crew
from .floe_spans import Spans
from .manifest import Manifest
from .manifest_merkle import leaf_hash, root_of

__all__ = [
    "Bundle", "Described", "LoadTicket", "Recipient", "SaveTicket", "Source", "Tensor", "TensorInfo",
    "checked_manifest", "demanded", "describe", "describe_bytes", "fill", "load", "open_bundle", "parse_bundle",
    "parse_load", "parse_save", "plan_shards", "save",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the encrypted index lists it; `bytes` is its length."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Described:
    """What a checkpoint holds, in the order it was saved, and the metadata that its producer gave it."""

    tensors: tuple[TensorInfo, ...]
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, index: Index) -> Described:
        rows = (TensorInfo(name, at.dtype, at.shape, at.length) for name, at in index.tensors.items())
        return cls(tuple(rows), dict(index.metadata))


def describe(ticket: LoadTicket, recipient: Recipient, folder: Path) -> Described:
    """Names, shapes, dtypes and metadata, from the encrypted index alone; no tensor is opened."""
    listed = checked_manifest(ticket)
    binding, sealed = ticket.bindings[-1], ticket.sealed[-1]
    keys = {binding.shard: recipient.open(sealed, binding.aad())}
    with Crew(1) as crew, opened(folder / "shards") as place:
        return Described.of(Reader(place, listed, keys, crew, None).index())


def describe_bytes(listed: Manifest, recipient: Recipient, sealed: bytes, ciphertext: bytes) -> Described:
    """The same from the bytes of the index alone, under a manifest that was verified already."""
    shard, binding = listed.shards[-1], listed.binding(listed.shards[-1])
    step = floe.GCM256_IV256_1M.segment
    leaves = [leaf_hash(ciphertext[at : at + step]) for at in range(floe.HEADER_BYTES, len(ciphertext), step)]
    whole = len(ciphertext) == shard.ciphertext and bool(leaves)
    if not whole or root_of(leaves).hex() != shard.root:
        raise foreign("The index is not the one that was signed.")
    plain = floe.decrypt(recipient.open(sealed, binding.aad()), binding.aad(), ciphertext)
    return Described.of(checkpoint_index.parse(plain, [each.plaintext for each in listed.shards[:-1]]))


def load(
    ticket: LoadTicket,
    recipient: Recipient,
    folder: Path,
    *,
    into: MutableMapping[str, Any] | None = None,
    names: Iterable[str] | None = None,
    verify: str | None = None,
    threads: int | None = None,
    between: Callable[[], None] | None = None,
) -> MutableMapping[str, Any]:
    """Load tensors from ciphertext in `folder/shards` into `into` (what it lacks is made) and return it.

    A load that is refused leaves no mix: what it has made is taken out again, and once a byte was read every buffer
    that it was given for a tensor is zero.

    `verify` is "signed" (each segment's hash leads to the signed root) or "tags" (the cipher's own tags, which
    another reader of the same version could forge); the ticket's demand is the least. `between` runs before each
    segment and may raise to stop, as an ended lease does.
    """
    signed, listed = demanded(ticket, verify), checked_manifest(ticket)
    keys = {
        binding.shard: recipient.open(sealed, binding.aad())
        for binding, sealed in zip(ticket.bindings, ticket.sealed, strict=True)
    }
    with Crew(threads) as crew, opened(folder / "shards") as place:
        return fill(Reader(place, listed, keys, crew, between), into=into, names=names, signed=signed)


def demanded(ticket: LoadTicket, verify: str | None) -> bool:
    """Whether each segment is led to the signed root: unless the caller and the ticket both ask for tags alone."""
    if verify not in (None, "signed", "tags"):
        why = f"`verify` is {verify!r}; a load checks what is `signed`, or `tags` alone."
        raise CheckpointError("checkpoint.verify", why, "Leave it out, which is `signed`.")
    return "signed" in (verify or "signed", ticket.verify)


class Source(Protocol):
    """Where plaintext comes from: files that this process opens, or a lender outside it."""

    def index(self) -> Index: ...

    def read(self, number: int, spans: Spans, *, signed: bool) -> None: ...


def fill(
    source: Source, *, into: MutableMapping[str, Any] | None, names: Iterable[str] | None, signed: bool
) -> MutableMapping[str, Any]:
    """Load tensors from `source` as `load` does; what is refused leaves zeros and no mix."""
    result: MutableMapping[str, Any] = into if into is not None else {}
    made: list[str] = []
    begun: list[Spans] = []
    try:
        index = source.index()
        wanted = _wanted(names) if names is not None else list(index.tensors)
        places = list(_destinations(index, wanted, result, made))
        begun = [spans for _, spans, _ in places]
        for number, spans, header in places:
            source.read(number, spans, signed=signed)
            if header is not None:
                check_header(index, number, bytes(header))
    except BaseException:
        for spans in begun:
            spans.wipe()
        for name in made:
            result.pop(name, None)
        raise
    return result


def _wanted(names: Iterable[str]) -> list[str]:
    """The names that were asked for, each once."""
    listed = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [None]
    if not all(isinstance(name, str) for name in listed):
        why = "`names` is not a list of the names of tensors."
        raise CheckpointError("checkpoint.no_tensor", why, "List the names with `describe`.")
    return list(dict.fromkeys(str(name) for name in listed))


def _destinations(
    index: Index, wanted: Sequence[str], result: MutableMapping[str, Any], made: list[str]
) -> Iterable[tuple[int, Spans, memoryview | None]]:
    """For each shard that is needed: its number, the caller's buffers, and a header buffer if it is read whole.

    `made` gets the name of each tensor that the caller gave no buffer for.
    """
    missing = [name for name in wanted if name not in index.tensors]
    if missing:
        why = f"The checkpoint has no tensor named {missing[0]!r}."
        raise CheckpointError("checkpoint.no_tensor", why, "List the names with `describe`.")
    views: list[memoryview] = []
    chosen: dict[int, list[tuple[int, memoryview]]] = {}
    for name in wanted:
        at = index.tensors[name]
        if name not in result:
            result[name] = fresh(name, at.dtype, at.shape)
            made.append(name)
        view = destination(name, result[name], at.dtype, at.shape, at.length)
        views.append(view)
        chosen.setdefault(at.shard, []).append((at.offset, view))
    if not apart(views):
        why = "Two of the buffers that were given share memory; one tensor would overwrite the other."
        raise CheckpointError("checkpoint.destination", why, "Give each tensor a buffer of its own.")
    for number, pairs in sorted(chosen.items()):
        whole = len(pairs) == len(index.names(number))
        header = memoryview(bytearray(index.headers[number])) if whole else None
        yield number, Spans([*pairs, *([(0, header)] if header is not None else [])]), header
