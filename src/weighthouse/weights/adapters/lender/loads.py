"""One version, opened outside the run under a lease. Guards data keys: a run gets plaintext, for a while.

What is opened was checked first: the manifest is the one the control plane remembers, each file has the signed length
and header, and each segment leads to the signed root. A lease that has ended lets go of the keys, and what one lease
lends has an end too, for the run could ask for the same bytes for ever with a processor that is not its own.
"""

from __future__ import annotations

import os
import threading
import time

from weighthouse_sdk import floe
from weighthouse_sdk.checkpoint_binding import Recipient
from weighthouse_sdk.checkpoint_reading import OpenShard, Reader, checked_manifest
from weighthouse_sdk.checkpoint_tickets import LoadTicket
from weighthouse_sdk.errors import CheckpointError
from weighthouse_sdk.floe_files import Crew, read_segment

MOST_OPEN = 4  # shards that are open at once
AGAIN = 3  # how often over a lease lends its whole version
EXTRA = 256


class Held:
    """A shard that is open, and how many read from it at this moment."""

    def __init__(self, found: OpenShard) -> None:
        self.found, self.users = found, 0


class Loan:
    """One lease and what it opens. `place` is a descriptor of the folder of shards, which this takes over."""

    def __init__(self, ticket: LoadTicket, recipient: Recipient, place: int, lasts_ms: int) -> None:
        self._place, self._lock = place, threading.Lock()
        self._listed = checked_manifest(ticket)
        keys = {
            binding.shard: recipient.open(sealed, binding.aad())
            for binding, sealed in zip(ticket.bindings, ticket.sealed, strict=True)
        }
        self._reader: Reader | None = Reader(place, self._listed, keys, Crew(1), None)
        self._tags = ticket.verify == "tags"
        self._open: dict[tuple[int, bool], Held] = {}
        shapes = [floe.shape_of_ciphertext(shard.ciphertext) for shard in self._listed.shards]
        self._left = AGAIN * sum(shape.segments for shape in shapes) + EXTRA
        self.extend(lasts_ms)

    def extend(self, lasts_ms: int) -> None:
        """Let the lease last from now on."""
        self._until = time.monotonic() + lasts_ms / 1000

    def over(self) -> bool:
        """Whether it has ended; then nothing of it opens anything any more."""
        return self._reader is None or time.monotonic() >= self._until

    def end(self) -> None:
        """Let go of the keys and of every file, now or when whoever reads a segment at this moment is done."""
        with self._lock:
            self._reader = None
            self._close()

    def _close(self) -> None:
        for key in [key for key, one in self._open.items() if not one.users]:
            os.close(self._open.pop(key).found.descriptor)
        if not self._open and self._place >= 0:
            os.close(self._place)
            self._place = -1

    def lend(
        self,
        ciphers: dict[object, floe.SegmentCipher],
        scratch: memoryview,
        out: memoryview,
        asked: tuple[int, int, bool],
    ) -> int:
        """Decrypt one segment into `out` and return its length. Raises `checkpoint.lease`, `floe.*`, `manifest.*`."""
        number, position, signed = asked
        held = self._taken(number, position, signed or not self._tags)
        found = held.found
        try:
            cipher = ciphers.get(found.decryptor) or found.decryptor.cipher()
            ciphers.clear()
            ciphers[found.decryptor] = cipher
            segment = read_segment(found.descriptor, found.shape, found.leaves, scratch, position)
            return cipher.open_into(position, position == found.shape.segments - 1, segment, out)
        finally:
            with self._lock:
                held.users -= 1
                if self._reader is None:
                    self._close()

    def _taken(self, number: int, position: int, signed: bool) -> Held:
        """Count one segment of the lease, and hold its shard open until that is read."""
        with self._lock:
            if self._reader is None or self.over():
                raise CheckpointError("checkpoint.lease", "The lease of this load has ended.", "Load again.")
            if self._left <= 0:
                why = f"This lease has lent its version {AGAIN} times over."
                raise CheckpointError("checkpoint.lease", why, "Load again, which is charged again.")
            if number >= len(self._listed.shards):
                raise CheckpointError("checkpoint.lent", "There is no such shard.", "Use the SDK as it is.")
            self._left -= 1
            held = self._shard(self._reader, number, signed)
            if position >= held.found.shape.segments:
                raise CheckpointError("checkpoint.lent", "There is no such segment.", "Use the SDK as it is.")
            held.users += 1
            return held

    def _shard(self, reader: Reader, number: int, signed: bool) -> Held:
        key = (number, signed)
        if key not in self._open:
            unused = [each for each, one in self._open.items() if not one.users]
            if len(self._open) >= MOST_OPEN and unused:
                os.close(self._open.pop(unused[0]).found.descriptor)
            self._open[key] = Held(reader.open(self._listed.shards[number], signed=signed))
        return self._open[key]
