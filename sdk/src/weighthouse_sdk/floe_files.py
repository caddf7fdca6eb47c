"""FLOE over files: many segments at once, straight between the file and buffers that the caller owns.

Guards against files that change under the reader (each segment is read once into a private buffer and only that copy
is checked and decrypted), against links and special files in place of a shard, and against half-read results: the
first failure stops every thread and is the one that is raised.

One thread per core, at most eight; the cipher, the hash and the file calls release the interpreter lock. Memory, not
the cipher, is the bottleneck: each thread keeps its two segment buffers for the life of a crew, and they begin on a
page, because copying from the page cache to an address 16 bytes beside a cache line is half as fast.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from . import floe
from .errors import FloeError
from .floe_spans import Spans
from .manifest_merkle import leaf_hash

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_STORAGE = "Check the storage; nothing of this save is visible to anyone."

Task = Callable[[floe.SegmentCipher, memoryview, memoryview, int], None]


def default_threads() -> int:
    """One thread for each core this process may use, at most eight."""
    return max(1, min(len(os.sched_getaffinity(0)), 8))


class Crew(AbstractContextManager["Crew"]):
    """Threads with reused buffers. Use as a context manager around the shards of one save or load."""

    def __init__(self, threads: int | None = None, parameters: floe.Parameters = floe.GCM256_IV256_1M) -> None:
        self.parameters = parameters
        self._threads = threads or default_threads()
        self._pool = ThreadPoolExecutor(self._threads, "weighthouse-floe") if self._threads > 1 else None
        self._local = threading.local()
        self._scratch: list[memoryview] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        for plain in self._scratch:
            plain[:] = bytes(len(plain))
        self._scratch.clear()

    def _buffers(self) -> tuple[memoryview, memoryview]:
        if not hasattr(self._local, "buffers"):
            sealed, plain = (page_aligned(self.parameters.segment) for _ in range(2))
            self._local.buffers = sealed, plain
            self._scratch.append(plain)
        buffers: tuple[memoryview, memoryview] = self._local.buffers
        return buffers

    def run(self, start: Callable[[], floe.SegmentCipher], positions: Iterable[int], task: Task) -> None:
        """Call `task(cipher, sealed, plain, position)` for each position, spread over the threads."""
        queue = iter(positions)
        lock, failed = threading.Lock(), threading.Event()

        def work() -> None:
            cipher = start()
            sealed, plain = self._buffers()
            while not failed.is_set():
                with lock:
                    position = next(queue, None)
                if position is None:
                    return
                try:
                    task(cipher, sealed, plain, position)
                except BaseException:
                    failed.set()
                    raise

        if self._pool is None:
            work()
            return
        errors = [future.exception() for future in [self._pool.submit(work) for _ in range(self._threads)]]
        for error in errors:
            if error is not None:
                raise error


def page_aligned(size: int) -> memoryview:
    """Private memory from a page border on, left out of core dumps; a forked child gets a copy, never the same."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_DONTDUMP)
    return memoryview(memory)


def open_folder(path: Path) -> int:
    """Open a folder that is no link, so that what is opened in it stays in it whatever happens to its name."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(what: object, error: OSError) -> FloeError:
    return FloeError("floe.unreadable", f"{what} cannot be read: {error.strerror}.", "Check path and storage.")


def open_regular(path: Path | str, folder: int | None = None) -> tuple[int, int]:
    """Open a plain file for reading, never through a link, and return (descriptor, length)."""
    try:
        descriptor = os.open(path, _READ, dir_fd=folder)
    except OSError as error:
        raise _unreadable(path, error) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise FloeError("floe.not_a_file", f"{path} is not a plain file.", "Remove it; it was put there on purpose.")
    return descriptor, found.st_size


def create_new(path: Path | str, folder: int | None = None) -> int:
    """Create a file that must not exist yet, readable by its owner only, never through a link."""
    try:
        return os.open(path, _CREATE, 0o600, dir_fd=folder)
    except OSError as error:
        raise FloeError("floe.unwritable", f"{path} cannot be created: {error.strerror}.", _STORAGE) from None


def sync(descriptor: int) -> None:
    """Make a file or folder durable, or say that it is not: a disk may refuse only now what it took before."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise FloeError("floe.unwritable", f"Writing failed: {error.strerror}.", _STORAGE) from None


def read_exactly(descriptor: int, buffer: memoryview, offset: int) -> None:
    """Fill `buffer` from `offset`; a file that ends early is refused."""
    done = 0
    while done < len(buffer):
        try:
            count = os.preadv(descriptor, [buffer[done:]], offset + done)
        except OSError as error:
            raise _unreadable("The file", error) from None
        if count == 0:
            raise FloeError("floe.length", "The file ended while it was being read.", "Fetch the file again.")
        done += count


def write_exactly(descriptor: int, buffer: memoryview, offset: int) -> None:
    """Write all of `buffer` at `offset`; a full disk is an error, never a short file taken for a whole one."""
    done = 0
    while done < len(buffer):
        try:
            done += os.pwrite(descriptor, buffer[done:], offset + done)
        except OSError as error:
            raise FloeError("floe.unwritable", f"Writing failed: {error.strerror}.", _STORAGE) from None


def open_spans(
    descriptor: int,
    decryptor: floe.Decryptor,
    shape: floe.Shape,
    spans: Spans,
    crew: Crew,
    *,
    leaves: Sequence[bytes] | None = None,
    between: Callable[[], None] | None = None,
) -> None:
    """Decrypt the parts of a file that `spans` ask for, straight into them.

    With `leaves`, each segment's BLAKE3 leaf hash is checked before it is decrypted. `between` is called before each
    segment and may raise to stop (an ended lease). After any error the contents of the spans mean nothing.
    """
    if spans.end > shape.plain:
        raise FloeError("floe.use", "A span reaches beyond the end of the file.", "Ask for less.")
    size, step = crew.parameters.plain, crew.parameters.segment

    def task(cipher: floe.SegmentCipher, sealed: memoryview, plain: memoryview, position: int) -> None:
        if between is not None:
            between()
        final = position == shape.segments - 1
        segment = read_segment(descriptor, shape, leaves, sealed, position, step)
        start = position * size
        end = start + len(segment) - floe.OVERHEAD
        direct = spans.whole(start, end)
        if direct is not None:
            cipher.open_into(position, final, segment, direct)
            return
        cipher.open_into(position, final, segment, plain)
        for offset, part in spans.parts(start, end):
            part[:] = plain[offset : offset + len(part)]

    crew.run(decryptor.cipher, spans.segments(size), task)


def read_segment(
    descriptor: int,
    shape: floe.Shape,
    leaves: Sequence[bytes] | None,
    sealed: memoryview,
    position: int,
    step: int = floe.GCM256_IV256_1M.segment,
) -> memoryview:
    """Read one segment into the private buffer `sealed`; with `leaves`, refuse one that is not what was signed."""
    segment = sealed[: shape.last] if position == shape.segments - 1 else sealed
    read_exactly(descriptor, segment, floe.HEADER_BYTES + position * step)
    if leaves is not None and leaf_hash(segment) != leaves[position]:
        # A reader who holds the data key can forge a segment with a valid tag; the signed root cannot be forged.
        why = f"Segment {position} is not the one that was signed."
        raise FloeError("floe.not_signed", why, "Somebody with a reader's key altered it; fetch it again.")
    return segment


def seal_spans(
    descriptor: int, encryptor: floe.Encryptor, spans: Spans, crew: Crew, *, hashed: bool = True
) -> tuple[floe.Shape, list[bytes]]:
    """Encrypt gapless `spans` into an empty file; return its shape and, unless not `hashed`, its BLAKE3 leaf hashes.

    The file is not durable until the caller has synced it.
    """
    if not spans.gapless():
        raise FloeError("floe.use", "The spans of a file leave a gap.", "Cover every byte once.")
    size, step = crew.parameters.plain, crew.parameters.segment
    shape = floe.shape_of_plaintext(spans.end, crew.parameters)
    leaves = [b""] * (shape.segments if hashed else 0)
    write_exactly(descriptor, memoryview(encryptor.header), 0)

    def task(cipher: floe.SegmentCipher, sealed: memoryview, plain: memoryview, position: int) -> None:
        start = position * size
        end = min(start + size, shape.plain)
        source = spans.whole(start, end)
        if source is None:
            for offset, part in spans.parts(start, end):
                plain[offset : offset + len(part)] = part
            source = plain[: end - start]
        segment = sealed[: cipher.seal_into(position, position == shape.segments - 1, source, sealed)]
        if hashed:
            leaves[position] = leaf_hash(segment)
        write_exactly(descriptor, segment, floe.HEADER_BYTES + position * step)

    crew.run(encryptor.cipher, range(shape.segments), task)
    return shape, leaves
