"""Opening the shards of one signed manifest. Guards a loader from files that are not exactly those that were signed.

Each file must be a plain one of the signed length, with the signed header, whose tag commits to its place; leaf
hashes lead to the signed root; the index must cover its shards exactly, and a shard's own header must say the same.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from . import checkpoint_index, floe, limits, manifest
from .checkpoint_index import Index
from .checkpoint_tickets import LoadTicket
from .errors import CheckpointError, SdkError
from .floe_files import Crew, open_folder, open_regular, open_spans, read_exactly
from .floe_spans import Spans
from .formats import encode_header, header_length, parse_header
from .manifest_merkle import HASH_BYTES, split_leaves


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = open_folder(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def checked_manifest(ticket: LoadTicket) -> manifest.Manifest:
    listed = manifest.open_envelope(ticket.manifest, ticket.signer)
    if not hmac.compare_digest(listed.digest(), ticket.digest):
        # An older manifest with its older shards is signed too; only the control plane's memory tells them apart.
        raise foreign("The manifest is not the one the control plane remembers for this version.")
    if tuple(listed.binding(shard) for shard in listed.shards) != ticket.bindings:
        raise foreign("The manifest lists another model, version, save or set of shards than the ticket.")
    return listed


def foreign(why: str) -> CheckpointError:
    return CheckpointError("checkpoint.manifest", why, "Ask for a new ticket; tell security if it happens again.")


def check_header(index: Index, number: int, header: bytes) -> None:
    """The shard's own safetensors header must be strict and say what the index says."""
    entries = index.entries(number)
    if header == encode_header(entries, index.metadata):
        return  # byte for byte what a writer of ours makes of the index: nothing is left to be parsed
    data = entries[-1].end if entries else 0
    length = header_length(header)
    if length + 8 != len(header) or parse_header(header[8:], data) != (entries, index.metadata):
        raise foreign("A shard's own header contradicts the signed index.")


@dataclass(frozen=True, slots=True)
class OpenShard:
    """One shard that is held open; `leaves` where each segment is led to the signed root."""

    descriptor: int
    shape: floe.Shape
    decryptor: floe.Decryptor
    leaves: list[bytes] | None


class Reader:
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
        """The index, its places judged against the lengths of the shards."""
        return checkpoint_index.parse(self.index_bytes(), [each.plaintext for each in self._listed.shards[:-1]])

    def index_bytes(self) -> bytes:
        """The index as it lies in its file, under the signed root whatever the others are checked by."""
        shard = self._listed.shards[-1]
        if shard.plaintext > limits.INDEX.most:
            raise foreign("The index is larger than this version accepts.")
        buffer = bytearray(shard.plaintext)
        self.read(len(self._listed.shards) - 1, Spans([(0, memoryview(buffer))]), signed=True)
        return bytes(buffer)

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
        found = self.open(shard, signed=signed)
        try:
            open_spans(
                found.descriptor,
                found.decryptor,
                found.shape,
                spans,
                self._crew,
                leaves=found.leaves,
                between=self._between,
            )
        finally:
            os.close(found.descriptor)

    def open(self, shard: manifest.Shard, *, signed: bool) -> OpenShard:
        """Hold one shard, its length and header being the signed ones; whoever gets it closes its descriptor."""
        descriptor, length = open_regular(f"{shard.id}.floe", self._place)
        try:
            if length != shard.ciphertext:
                raise foreign(f"it has {length} bytes, {shard.ciphertext} were signed.")
            shape = floe.shape_of_ciphertext(length)
            header = bytearray(floe.HEADER_BYTES)
            read_exactly(descriptor, memoryview(header), 0)
            if not hmac.compare_digest(blake3(header).hexdigest(), shard.header) or shape.plain != shard.plaintext:
                raise foreign("its header is not the one that was signed.")
            decryptor = floe.Decryptor(self._keys[shard.id], self._listed.binding(shard).aad(), header)
            leaves = self._leaves(shard, shape) if signed else None
            return OpenShard(descriptor, shape, decryptor, leaves)
        except BaseException:
            os.close(descriptor)
            raise

    def _leaves(self, shard: manifest.Shard, shape: floe.Shape) -> list[bytes]:
        descriptor, length = open_regular(f"{shard.id}.leaves", self._place)
        try:
            if length != shape.segments * HASH_BYTES:  # before memory is taken for it
                raise foreign("its leaf file is not as long as its segments need.")
            stored = bytearray(length)
            read_exactly(descriptor, memoryview(stored), 0)
        finally:
            os.close(descriptor)
        return split_leaves(bytes(stored), shape.segments, bytes.fromhex(shard.root))
