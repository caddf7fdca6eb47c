"""One save, encrypted outside the run. Guards data keys: what a run saves it brings in clear, and sees sealed again.

Every position of a shard is sealed once, whoever brings it how often; names, keys and places are the control plane's
own. The files lie where the run can reach them until they are committed, which is why the manifest is signed here:
what was altered since is not what was signed. They belong to the run as soon as they are made, so that it may remove
what it has saved; which user that is, is told by whoever started it, and looked up nowhere.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse_sdk import floe, manifest
from weighthouse_sdk.checkpoint_binding import Binding, Recipient
from weighthouse_sdk.checkpoint_reading import Reader
from weighthouse_sdk.checkpoint_tickets import SaveTicket
from weighthouse_sdk.errors import CheckpointError, FloeError
from weighthouse_sdk.floe_files import Crew, create_new, sync, write_exactly
from weighthouse_sdk.manifest_merkle import leaf_hash, root_of

LARGEST = (1 << 53) - 1
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place(NamedTuple):
    """The top folder of a run's volume, and the user and the group that the run is on this machine."""

    out: int
    uid: int
    gid: int

    def own(self, made: int) -> None:
        """Give the run what was made for it, by its descriptor."""
        try:
            os.fchown(made, self.uid, self.gid)
        except OSError as error:
            why = f"What was saved cannot be given to the run: {error.strerror}."
            raise FloeError("floe.unwritable", why, "Look at what /out of this run is.") from None


class Shard:
    """One file that is being written."""

    def __init__(self, folder: int, binding: Binding, key: bytes, length: int, place: Place) -> None:
        self.binding = binding
        self.shape = floe.shape_of_plaintext(length)
        self.encryptor = floe.Encryptor(key, binding.aad())
        self.leaves: dict[int, bytes] = {}
        self.begun: set[int] = set()
        self.descriptor = create_new(f"{binding.shard}.floe", folder)
        try:
            place.own(self.descriptor)
            write_exactly(self.descriptor, memoryview(self.encryptor.header), 0)
        except BaseException:
            os.close(self.descriptor)
            raise

    def size(self, position: int) -> int:
        """Plaintext bytes of the segment at `position`."""
        plain = floe.GCM256_IV256_1M.plain
        return plain if position < self.shape.segments - 1 else self.shape.plain - position * plain


class Saving:
    """A save that was begun by the control plane, and is written once."""

    def __init__(
        self, ticket: SaveTicket, recipient: Recipient, signer: Ed25519PrivateKey, volume: Callable[[], Place]
    ) -> None:
        self._ticket, self._signer, self._volume = ticket, signer, volume
        self._keys = {
            binding.shard: recipient.open(sealed, binding.aad())
            for binding, sealed in zip(ticket.bindings, ticket.sealed, strict=True)
        }
        self._lock = threading.Lock()
        self._shards: list[Shard] = []
        self._place = -1
        self._made: list[str] = []
        self._state, self._users = "new", 0

    def begin(self, lengths: Sequence[int]) -> None:
        """Make the files of a save whose shards have these lengths, the index last; once."""
        with self._lock:
            if self._state != "new":
                raise _used()
            self._state = "open"
            right = len(lengths) == len(self._ticket.bindings)
            if not right or any(type(each) is not int or not 0 <= each <= LARGEST for each in lengths):
                raise CheckpointError("checkpoint.lent", "The lengths of the shards make no save.", "Use the SDK.")
            volume = self._volume()
            self._place = _folder(_folder(volume.out, self._ticket.save, volume, keep=True), "shards", volume)
            for binding, length in zip(self._ticket.bindings, lengths, strict=True):
                self._made.append(f"{binding.shard}.floe")
                self._shards.append(Shard(self._place, binding, self._keys[binding.shard], length, volume))

    def check(self) -> None:
        """Refuse whoever joins a save that is not open."""
        if self._state != "open":
            raise _used()

    def shard(self, number: int, position: int, length: int) -> Shard:
        """The shard that a segment belongs to; each place is taken once."""
        with self._lock:
            self.check()
            shard = self._shards[number] if number < len(self._shards) else None
            if shard is None or position >= shard.shape.segments or length != shard.size(position):
                raise CheckpointError("checkpoint.lent", "There is no such segment in this save.", "Use the SDK.")
            if position in shard.begun:
                # One key never meets one position twice.
                raise CheckpointError("checkpoint.lent", "This segment was brought already.", "Begin a new save.")
            shard.begun.add(position)
            self._users += 1
            return shard

    def seal(
        self,
        shard: Shard,
        ciphers: dict[object, floe.SegmentCipher],
        position: int,
        plain: memoryview,
        sealed: memoryview,
    ) -> None:
        """Encrypt one segment that `shard` gave a place to, and write it."""
        try:
            cipher = ciphers.get(shard) or shard.encryptor.cipher()
            ciphers.clear()
            ciphers[shard] = cipher
            last = position == shard.shape.segments - 1
            segment = sealed[: cipher.seal_into(position, last, plain, sealed)]
            leaf = leaf_hash(segment)
            write_exactly(shard.descriptor, segment, floe.HEADER_BYTES + position * floe.GCM256_IV256_1M.segment)
            shard.leaves[position] = leaf
        finally:
            self.unused()

    def unused(self) -> None:
        """One place that was given is not written to any more."""
        with self._lock:
            self._users -= 1
            if self._state == "failed":
                self._let_go()

    def finish(self) -> bytes:
        """Write the leaves, sign the manifest, read the index back under it, and return the envelope."""
        with self._lock:
            self.check()
            if any(len(shard.leaves) != shard.shape.segments for shard in self._shards):
                raise CheckpointError("checkpoint.lent", "Segments of this save are missing.", "Begin a new save.")
            listed = tuple(self._closed(shard) for shard in self._shards)
            sync(self._place)
            ticket = self._ticket
            whole = manifest.Manifest(ticket.tenant, ticket.model, ticket.version, ticket.save, ticket.parent, listed)
            envelope = manifest.sign(whole, self._signer)
            read = manifest.open_envelope(envelope, self._signer.public_key().public_bytes_raw())
            with Crew(1) as crew:
                Reader(self._place, read, self._keys, crew, None).index_bytes()
            self._state = "done"
            self._let_go()
        return envelope

    def _closed(self, shard: Shard) -> manifest.Shard:
        leaves = [shard.leaves[at] for at in range(shard.shape.segments)]
        sync(shard.descriptor)
        name = f"{shard.binding.shard}.leaves"
        descriptor = create_new(name, self._place)
        self._made.append(name)
        try:
            self._volume().own(descriptor)
            write_exactly(descriptor, memoryview(b"".join(leaves)), 0)
            sync(descriptor)
        finally:
            os.close(descriptor)
        binding, shape = shard.binding, shard.shape
        header = blake3(shard.encryptor.header).hexdigest()
        return manifest.Shard(
            binding.shard, binding.index, binding.media, shape.length, shape.plain, header, root_of(leaves).hex()
        )

    def fail(self) -> None:
        """Remove what was written, unless the save is done; it cannot be gone on with."""
        with self._lock:
            if self._state == "done":
                return
            self._state = "failed"
            for name in self._made:
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._place)
            self._let_go()

    def _let_go(self) -> None:
        """Forget the keys, and close the files when nobody writes to one at this moment."""
        self._keys = {}
        if self._users:
            return
        for shard in self._shards:
            os.close(shard.descriptor)
        self._shards = []
        if self._place >= 0:
            os.close(self._place)
            self._place = -1


def _used() -> CheckpointError:
    return CheckpointError("checkpoint.lent", "This save was ended, or never begun.", "Begin a new save.")


def _folder(parent: int, name: str, volume: Place, *, keep: bool = False) -> int:
    """Make and open one folder, never through a link; the run owns what is in its volume, which it could fill."""
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        made = os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        why = f"The folder {name} cannot be made: {error.strerror}."
        raise FloeError("floe.unwritable", why, "Leave the folder of a save to the lender.") from None
    finally:
        if not keep:
            os.close(parent)
    try:
        volume.own(made)
    except BaseException:
        os.close(made)
        raise
    return made
