"""Writing one checkpoint: each shard under its own data key, then the index, then one signed manifest.

Guards the set: nothing is written before all of it was judged (`checkpoint_plan`), nothing is overwritten, a save
that fails leaves no file, and what was written is opened again by the loader's own reader before the manifest is
given out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import floe, manifest
from .checkpoint_binding import Binding, Recipient
from .checkpoint_plan import Prepared, prepare
from .checkpoint_reading import Reader, foreign
from .checkpoint_tensors import as_tensor, plan_shards
from .checkpoint_tickets import SaveTicket
from .errors import CheckpointError, FloeError
from .floe_files import Crew, create_new, open_folder, seal_spans, sync, write_exactly
from .floe_spans import Spans
from .manifest_merkle import root_of


def save(
    tensors: Mapping[str, Any],
    ticket: SaveTicket,
    recipient: Recipient,
    signer: Ed25519PrivateKey,
    folder: Path,
    *,
    plan: Sequence[Sequence[str]] | None = None,
    metadata: Mapping[str, str] | None = None,
    threads: int | None = None,
) -> bytes:
    """Write `tensors` as ciphertext under `folder/shards` and return the signed manifest's envelope for the commit.

    `plan` names the tensors of each shard and must have as many shards as the ticket. `metadata` (text to text) is
    kept inside the encrypted part. A failed save leaves no file behind; repeat it with a new ticket, never with this
    one, so that no key meets the same position twice.
    """
    plan = plan if plan is not None else plan_shards(tensors)
    prepared = prepare(tensors, plan, ticket, metadata or {})
    keys = {
        binding.shard: recipient.open(sealed, binding.aad())
        for binding, sealed in zip(ticket.bindings, ticket.sealed, strict=True)
    }
    with _Place.make(folder / "shards") as place, Crew(threads) as crew:
        shards = _write_all(tensors, ticket, keys, place, prepared, crew)
        sync(place.folder)
        listed = manifest.Manifest(
            ticket.tenant, ticket.model, ticket.version, ticket.save, ticket.parent, tuple(shards)
        )
        envelope = manifest.sign(listed, signer)
        read = manifest.open_envelope(envelope, signer.public_key().public_bytes_raw())
        _read_back(Reader(place.folder, read, keys, crew, None), prepared)
    return envelope


def _write_all(
    tensors: Mapping[str, Any],
    ticket: SaveTicket,
    keys: Mapping[str, bytes],
    place: _Place,
    prepared: Prepared,
    crew: Crew,
) -> list[manifest.Shard]:
    """Write each data shard, then the index over them, each under its own data key."""
    shards: list[manifest.Shard] = []
    for binding, header, entries in zip(ticket.bindings, prepared.headers, prepared.entries, strict=False):
        pairs = [(0, memoryview(header))]
        for entry in entries:
            tensor = as_tensor(entry.name, tensors[entry.name])
            if (tensor.dtype, tensor.shape, len(tensor.data)) != (entry.dtype, entry.shape, entry.end - entry.begin):
                why = f"Tensor {entry.name!r} was changed in shape or type while it was being saved."
                raise CheckpointError("checkpoint.changed", why, "Save from a copy, or wait for the save.")
            pairs.append((len(header) + entry.begin, tensor.data))
        shards.append(_write_shard(place, binding, keys[binding.shard], Spans(pairs), crew))
    binding = ticket.bindings[-1]
    spans = Spans([(0, memoryview(prepared.index))])
    shards.append(_write_shard(place, binding, keys[binding.shard], spans, crew))
    return shards


def _read_back(reader: Reader, prepared: Prepared) -> None:
    """Open index and headers as a loader will, from the files, under the signed roots: the bytes judged before."""
    if reader.index_bytes() != prepared.index:
        raise foreign("The index was not read back as it was written.")
    for number, written in enumerate(prepared.headers):
        header = bytearray(len(written))
        reader.read(number, Spans([(0, memoryview(header))]), signed=True)
        if header != written:
            raise foreign("A shard's header was not read back as it was written.")


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder of shards, held open, and the files that this save has made in it: only those go when it fails."""

    folder: int
    made: list[str]

    @classmethod
    @contextmanager
    def make(cls, path: Path) -> Iterator[_Place]:
        new = [each for each in (path, *path.parents) if not each.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
            for each in new:  # a folder that its parent has not kept is gone after a power cut, with all shards
                _keep(each.parent)
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


def _keep(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


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
