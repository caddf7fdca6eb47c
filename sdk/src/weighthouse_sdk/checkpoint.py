"""Save and load encrypted checkpoints. Guards weights between the caller's memory and any storage.

Save: each shard is a safetensors file inside a FLOE file under its own fresh data key; the manifest over all of
them is signed with the run's ephemeral key. Nothing is overwritten, nothing plain is written, and nothing counts
before the control plane has committed the manifest. Load: the manifest must be the one the control plane remembers,
each shard must have exactly the signed length, header and (unless only tags are asked) Merkle root; plaintext goes
straight into buffers the caller owns, and is wiped from them if anything is refused.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import checkpoint_index, floe, manifest
from .checkpoint_binding import Binding, Recipient
from .checkpoint_index import Index
from .checkpoint_tensors import Tensor, as_tensor, destination, fresh, plan_shards
from .checkpoint_tickets import LoadTicket, SaveTicket, parse_bundle, parse_load, parse_save
from .errors import CheckpointError, FloeError, SdkError
from .floe_files import (
    Crew,
    create_new,
    open_folder,
    open_regular,
    open_spans,
    read_exactly,
    seal_spans,
    sync,
    write_exactly,
)
from .floe_spans import Spans
from .formats import Entry, build_header, header_length, parse_header
from .manifest_merkle import HASH_BYTES, root_of, split_leaves

__all__ = [
    "LoadTicket", "Recipient", "SaveTicket", "Tensor", "load", "parse_bundle", "parse_load", "parse_save",
    "plan_shards", "save",
]  # fmt: skip


def save(
    tensors: Mapping[str, Any],
    ticket: SaveTicket,
    recipient: Recipient,
    signer: Ed25519PrivateKey,
    folder: Path,
    *,
    plan: Sequence[Sequence[str]] | None = None,
    provenance: Mapping[str, str] | None = None,
    threads: int | None = None,
) -> bytes:
    """Write `tensors` as ciphertext under `folder/shards` and return the signed manifest's envelope for the commit.

    `plan` names the tensors of each shard and must have as many shards as the ticket. A failed save leaves no file
    behind; repeat it with a new ticket, never with this one, so that no key meets the same position twice.
    """
    plan = plan if plan is not None else plan_shards(tensors)
    if len(plan) != len(ticket.bindings) - 1:
        why = f"The ticket is for {len(ticket.bindings) - 1} shards, the plan has {len(plan)}."
        raise CheckpointError("checkpoint.plan", why, "Ask for a ticket with as many shards as the plan.")
    with _Place.make(folder / "shards") as place:
        shards = _write_all(tensors, ticket, recipient, place, plan, threads)
        sync(place.folder)
    facts = tuple(sorted((provenance or {}).items()))
    listed = manifest.Manifest(
        ticket.tenant, ticket.model, ticket.version, ticket.save, ticket.parent, tuple(shards), facts
    )
    return manifest.sign(listed, signer)


def _write_all(
    tensors: Mapping[str, Any],
    ticket: SaveTicket,
    recipient: Recipient,
    place: _Place,
    plan: Sequence[Sequence[str]],
    threads: int | None,
) -> list[manifest.Shard]:
    """Write each data shard, then the index over them, each under its own data key."""
    shards: list[manifest.Shard] = []
    contents: list[tuple[int, list[Entry]]] = []
    with Crew(threads) as crew:
        for binding, sealed, names in zip(ticket.bindings, ticket.sealed, plan, strict=False):
            chosen = [as_tensor(name, tensors[name]) for name in names]
            sizes = [(name, t.dtype, t.shape, len(t.data)) for name, t in zip(names, chosen, strict=True)]
            header, entries = build_header(sizes)
            contents.append((len(header), entries))
            pairs = [(len(header) + entry.begin, t.data) for entry, t in zip(entries, chosen, strict=True)]
            spans = Spans([(0, memoryview(header)), *pairs])
            shards.append(_write_shard(place, binding, recipient.open(sealed, binding.aad()), spans, crew))
        binding, sealed = ticket.bindings[-1], ticket.sealed[-1]
        spans = Spans([(0, memoryview(checkpoint_index.build(contents)))])
        shards.append(_write_shard(place, binding, recipient.open(sealed, binding.aad()), spans, crew))
    return shards


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder of shards, held open, and the files that this save has made in it: only those go when it fails."""

    folder: int
    made: list[str]

    @classmethod
    @contextmanager
    def make(cls, path: Path) -> Iterator[_Place]:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = f"{path} cannot be made: {error.strerror}."
            raise FloeError("floe.unwritable", why, "Give a folder that you may write to.") from None
        place = cls(open_folder(path), [])
        try:
            yield place
        except BaseException:
            for name in place.made:
                with suppress(OSError):
                    os.unlink(name, dir_fd=place.folder)
            raise
        finally:
            os.close(place.folder)

    def create(self, name: str) -> int:
        descriptor = create_new(name, self.folder)
        self.made.append(name)
        return descriptor


def _write_shard(place: _Place, binding: Binding, key: bytes, spans: Spans, crew: Crew) -> manifest.Shard:
    encryptor = floe.Encryptor(key, binding.aad())
    descriptor = place.create(f"{binding.shard}.floe")
    try:
        shape, leaves = seal_spans(descriptor, encryptor, spans, crew)
        sync(descriptor)
    finally:
        os.close(descriptor)
    descriptor = place.create(f"{binding.shard}.leaves")
    try:
        write_exactly(descriptor, memoryview(b"".join(leaves)), 0)
        sync(descriptor)
    finally:
        os.close(descriptor)
    header = blake3(encryptor.header).hexdigest()
    return manifest.Shard(
        binding.shard, binding.index, binding.media, shape.length, shape.plain, header, root_of(leaves).hex()
    )


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

    `verify` is "signed" (each segment's hash leads to the signed root) or "tags" (the cipher's own tags, which
    another reader of the same version could forge); the ticket's demand is the least. `between` runs before each
    segment and may raise to stop, as an ended lease does.
    """
    listed = _checked_manifest(ticket)
    signed = "signed" in (verify or "signed", ticket.verify)
    keys = {
        binding.shard: recipient.open(sealed, binding.aad())
        for binding, sealed in zip(ticket.bindings, ticket.sealed, strict=True)
    }
    result: MutableMapping[str, Any] = into if into is not None else {}
    touched: list[Spans] = []
    try:
        with Crew(threads) as crew, _folder(folder / "shards") as place:
            reader = _Reader(place, listed, keys, crew, between)
            index = reader.index()
            wanted = list(names) if names is not None else list(index.tensors)
            for number, spans, header in _destinations(index, wanted, result):
                touched.append(spans)
                reader.read(number, spans, signed=signed)
                if header is not None:
                    _check_header(index, number, header)
    except BaseException:
        for spans in touched:
            spans.wipe()
        raise
    return result


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = open_folder(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _checked_manifest(ticket: LoadTicket) -> manifest.Manifest:
    listed = manifest.open_envelope(ticket.manifest, ticket.signer)
    if not hmac.compare_digest(listed.digest(), ticket.digest):
        # An older manifest with its older shards is signed too; only the control plane's memory tells them apart.
        raise _foreign("The manifest is not the one the control plane remembers for this version.")
    if tuple(listed.binding(shard) for shard in listed.shards) != ticket.bindings:
        raise _foreign("The manifest lists another model, version, save or set of shards than the ticket.")
    return listed


def _foreign(why: str) -> CheckpointError:
    return CheckpointError("checkpoint.manifest", why, "Ask for a new ticket; tell security if it happens again.")


def _destinations(
    index: Index, wanted: Sequence[str], result: MutableMapping[str, Any]
) -> Iterable[tuple[int, Spans, memoryview | None]]:
    """For each shard that is needed: its number, the caller's buffers, and a header buffer if it is read whole."""
    missing = [name for name in wanted if name not in index.tensors]
    if missing:
        why = f"The checkpoint has no tensor named {missing[0]!r}."
        raise CheckpointError("checkpoint.no_tensor", why, "List the names with an empty `names` first.")
    chosen: dict[int, list[tuple[int, memoryview]]] = {}
    for name in wanted:
        at = index.tensors[name]
        if name not in result:
            result[name] = fresh(name, at.dtype, at.shape)
        view = destination(name, result[name], at.dtype, at.shape, at.length)
        chosen.setdefault(at.shard, []).append((at.offset, view))
    for number, pairs in sorted(chosen.items()):
        whole = len(pairs) == len(index.names(number))
        header = memoryview(bytearray(index.headers[number])) if whole else None
        yield number, Spans([*pairs, *([(0, header)] if header is not None else [])]), header


def _check_header(index: Index, number: int, header: memoryview) -> None:
    """The shard's own safetensors header must be strict and say what the index says."""
    entries = index.entries(number)
    data = entries[-1].end if entries else 0
    length = header_length(header)
    if length + 8 != len(header) or parse_header(bytes(header[8:]), data) != entries:
        raise _foreign("A shard's own header contradicts the signed index.")


class _Reader:
    """Opens the shards of one manifest, each through the same checks."""

    def __init__(
        self,
        place: int,
        listed: manifest.Manifest,
        keys: Mapping[str, bytes],
        crew: Crew,
        between: Callable[[], None] | None,
    ) -> None:
        self._place, self._listed, self._keys, self._crew, self._between = place, listed, keys, crew, between

    def index(self) -> Index:
        shard = self._listed.shards[-1]
        if shard.plaintext > checkpoint_index.MAX_INDEX:
            raise _foreign("The index is larger than this version accepts.")
        buffer = bytearray(shard.plaintext)
        self.read(len(self._listed.shards) - 1, Spans([(0, memoryview(buffer))]), signed=True)
        return checkpoint_index.parse(bytes(buffer), [each.plaintext for each in self._listed.shards[:-1]])

    def read(self, number: int, spans: Spans, *, signed: bool) -> None:
        """Decrypt parts of shard `number` into `spans`; errors name the shard."""
        shard = self._listed.shards[number]
        try:
            self._read(shard, spans, signed=signed)
        except SdkError as error:
            error.message = f"Shard {shard.id} (number {number}): {error.message}"
            error.args = (error.message,)
            raise

    def _read(self, shard: manifest.Shard, spans: Spans, *, signed: bool) -> None:
        descriptor, length = open_regular(f"{shard.id}.floe", self._place)
        try:
            if length != shard.ciphertext:
                raise _foreign(f"it has {length} bytes, {shard.ciphertext} were signed.")
            shape = floe.shape_of_ciphertext(length)
            header = bytearray(floe.HEADER_BYTES)
            read_exactly(descriptor, memoryview(header), 0)
            if not hmac.compare_digest(blake3(header).hexdigest(), shard.header) or shape.plain != shard.plaintext:
                raise _foreign("its header is not the one that was signed.")
            decryptor = floe.Decryptor(self._keys[shard.id], self._listed.binding(shard).aad(), header)
            leaves = self._leaves(shard, shape) if signed else None
            open_spans(descriptor, decryptor, shape, spans, self._crew, leaves=leaves, between=self._between)
        finally:
            os.close(descriptor)

    def _leaves(self, shard: manifest.Shard, shape: floe.Shape) -> list[bytes]:
        descriptor, length = open_regular(f"{shard.id}.leaves", self._place)
        try:
            if length != shape.segments * HASH_BYTES:  # before memory is taken for it
                raise _foreign("its leaf file is not as long as its segments need.")
            stored = bytearray(length)
            read_exactly(descriptor, memoryview(stored), 0)
        finally:
            os.close(descriptor)
        return split_leaves(bytes(stored), shape.segments, bytes.fromhex(shard.root))
