"""Taking over what a run wrote: one pass that copies and checks. Guards committed bytes from who wrote them.

The copy is what is hashed, and the copy is what is kept. Whoever still holds the original open, mapped or linked may
change it as often as they like: either the change is in the copy, which then is refused, or it is not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from blake3 import blake3

from weighthouse.core.errors import Invalid
from weighthouse.weights.adapters.flight import Flight
from weighthouse.weights.adapters.opened import Opened
from weighthouse.weights.adapters.writing import write_new
from weighthouse.weights.model import Signed
from weighthouse_sdk import floe
from weighthouse_sdk.manifest_merkle import HASH_BYTES, leaf_hash, root_of

SEGMENT = floe.GCM256_IV256_1M.segment
MODE = 0o444  # a run's own user reads it, through a mount that cannot be written
HOLES = 1 << 20  # what a file system may save on the blocks of a file that is all there


def take(found: Opened, folder: int, name: str, signed: Signed, pause: Callable[[], None], flight: Flight) -> None:
    """Copy the signed bytes of `found` to `name` in `folder`; raises FileExistsError, or leaves nothing behind."""
    if found.size != signed.length:
        raise _bad("Its length is not what the manifest says.")
    _whole(found)
    leaves: list[bytes] = []
    with flight.promised(folder, found.size) as wrote:
        write_new(folder, name, _told(_checked(found, signed, pause, leaves), wrote), MODE)
    _keep_leaves(folder, name, leaves)


def _told(pieces: Iterator[bytes], wrote: Callable[[int], None]) -> Iterator[bytes]:
    """Yield each piece, and tell once it was written, which is when the next one is asked for."""
    for piece in pieces:
        yield piece
        wrote(len(piece))


def check(kept: Opened, folder: int, name: str, signed: Signed, pause: Callable[[], None]) -> None:
    """Raise unless a file that only this server writes holds exactly the signed bytes."""
    if kept.size != signed.length or not kept.ours:
        raise _bad("Another object of that name was taken over before.")
    leaves: list[bytes] = []
    for _ in _checked(kept, signed, pause, leaves):
        pass
    _keep_leaves(folder, name, leaves)


def leaves_name(name: str) -> str:
    """The file beside a shard that holds the hashes of its segments, by which a reader of one tensor checks it."""
    return name.removesuffix(".floe") + ".leaves"


def leaves_length(length: int) -> int:
    """How long that file is for a shard of `length` bytes."""
    return HASH_BYTES * -(-(length - floe.HEADER_BYTES) // SEGMENT)


def _keep_leaves(folder: int, name: str, leaves: list[bytes]) -> None:
    """Keep the hashes that were just computed here; the writer's own are never looked at."""
    with contextlib.suppress(FileExistsError):
        write_new(folder, leaves_name(name), (b"".join(leaves),), MODE)


def _checked(found: Opened, signed: Signed, pause: Callable[[], None], leaves: list[bytes]) -> Iterator[bytes]:
    """Yield the object piece by piece, and raise at the end unless the pieces were the signed ones."""
    header = found.read(0, min(floe.HEADER_BYTES, signed.length))
    if blake3(header).hexdigest() != signed.header:
        raise _bad("Its header is not what the manifest says.")
    yield header
    for at in range(len(header), signed.length, SEGMENT):
        pause()
        piece = found.read(at, min(SEGMENT, signed.length - at))
        leaves.append(leaf_hash(piece))
        yield piece
    if not leaves or root_of(leaves).hex() != signed.root:
        raise _bad("Its bytes are not what the manifest says.")


def _whole(found: Opened) -> None:
    """Ciphertext has no holes: a file that claims more than it wrote would have us write the rest for it."""
    os.fsync(found.descriptor)  # until then some file systems do not say how much a file holds
    if os.fstat(found.descriptor).st_blocks * 512 + HOLES < found.size:
        raise _bad("It is shorter than it claims.")


def _bad(why: str) -> Invalid:
    return Invalid("weights.bad_object", why, "Write every shard whole before the commit; begin a new save.")
