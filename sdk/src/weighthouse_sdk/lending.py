"""The run's end of lending: plaintext comes from, and goes to, a process outside that alone has the data keys.

Guards data keys that last from code that nobody reviewed: nothing in this process, in what it is answered or in what
it maps opens a file of ciphertext. What is read was checked outside against the signed manifest; here it is copied
from the window into the caller's buffers, and the index is judged as it is everywhere.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from . import checkpoint_index, limits
from . import lending_frames as frames
from .checkpoint_index import Index
from .checkpoint_plan import prepare
from .checkpoint_reading import foreign
from .checkpoint_tensors import as_tensor
from .checkpoint_tickets import SaveTicket
from .errors import CheckpointError, SdkError
from .floe_files import default_threads
from .floe_spans import Spans
from .manifest import Manifest

SOCKET, WINDOW = Path("/egress/lender"), Path("/egress/window")
TIMEOUT_S = 120
BUSY = "checkpoint.lender_busy"
T = TypeVar("T")


class Lender:
    """Where the run finds its lender: a socket, and the window that it reads through."""

    def __init__(self, path: Path = SOCKET, window: Path = WINDOW) -> None:
        self._path, self._window = path, window

    def connect(self, purpose: Mapping[str, Any]) -> tuple[socket.socket, dict[str, Any]]:
        """Open one connection for a purpose and return it with the lender's answer."""
        way = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            way.settimeout(TIMEOUT_S)
            way.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, frames.SLOT)
            way.connect(str(self._path))
            way.sendall(json.dumps(purpose).encode() + b"\n")
            return way, frames.hear(way)
        except OSError as error:
            way.close()
            raise frames.gone(str(error)) from None
        except BaseException:
            way.close()
            raise

    def window(self) -> mmap.mmap:
        """The window, mapped for reading."""
        try:
            file = os.open(self._window, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return mmap.mmap(file, frames.WINDOW_BYTES, prot=mmap.PROT_READ)
            finally:
                os.close(file)
        except (OSError, ValueError) as error:
            raise frames.gone(str(error)) from None


class _Loan:
    """One connection of a load. At most as many segments are asked for ahead as it has slots."""

    def __init__(self, lender: Lender, lease: str, window: memoryview, *, first: bool) -> None:
        self._way, answer = lender.connect({"load": lease, "waits": first})
        self._window, self._first, self._at = window, int(answer["slot"]) * frames.SLOT, 0

    def ask(self, number: int, position: int, signed: bool) -> None:
        with contextlib.suppress(OSError):  # what it refused is there to be heard
            self._way.sendall(frames.REQUEST.pack(number, position, signed))

    def take(self, expected: int) -> memoryview:
        """The next segment that was asked for, until the slot is used again."""
        refused, length = frames.header(self._way)
        if refused:
            raise frames.refused(self._way, length)
        if length != expected:
            raise foreign("a segment is not as long as the manifest says.")
        start = self._first + self._at % frames.SLOTS * frames.SLOT
        self._at += 1
        return self._window[start : start + length]

    def close(self) -> None:
        self._way.close()


class LentReader:
    """A source for `checkpoint.fill`: the shards of one manifest, opened by the lender under a lease."""

    def __init__(
        self, lender: Lender, lease: str, listed: Manifest, threads: int | None, between: Callable[[], None] | None
    ) -> None:
        self._lender, self._lease, self._listed, self._between = lender, lease, listed, between
        self._threads = min(threads or default_threads(), frames.CONNECTIONS)
        self._stack = contextlib.ExitStack()
        self._loans: list[_Loan] = []

    def __enter__(self) -> LentReader:
        memory = self._lender.window()
        window = memoryview(memory)
        self._stack.callback(memory.close)
        self._stack.callback(window.release)
        try:
            while len(self._loans) < self._threads:
                loan = _Loan(self._lender, self._lease, window, first=not self._loans)
                self._loans.append(loan)
                self._stack.callback(loan.close)
        except CheckpointError as refusal:
            if refusal.code != BUSY:  # other loads of this run have the rest of the window, and this one goes on
                self._stack.close()
                raise
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loans.clear()
        with contextlib.suppress(BufferError):  # an error still shows a slice of it in its trace
            self._stack.close()

    def index(self) -> Index:
        """The index, its places judged against the lengths of the shards."""
        shards = self._listed.shards
        if shards[-1].plaintext > limits.INDEX.most:
            raise foreign("The index is larger than this version accepts.")
        buffer = bytearray(shards[-1].plaintext)
        self.read(len(shards) - 1, Spans([(0, memoryview(buffer))]), signed=True)
        return checkpoint_index.parse(bytes(buffer), [each.plaintext for each in shards[:-1]])

    def read(self, number: int, spans: Spans, *, signed: bool) -> None:
        """Have parts of shard `number` put into `spans`; errors name the shard."""
        shard = self._listed.shards[number]
        if spans.end > shard.plaintext:
            raise foreign("A span reaches beyond the end of the shard.")

        def work(loan: _Loan, following: Callable[[], int | None]) -> None:
            asked: list[int] = []
            while (position := following()) is not None or asked:
                if position is not None:
                    if self._between is not None:
                        self._between()
                    loan.ask(number, position, signed)
                    asked.append(position)
                if position is None or len(asked) == frames.SLOTS:
                    start = asked.pop(0) * frames.PLAIN
                    end = min(start + frames.PLAIN, shard.plaintext)
                    _copy(loan.take(end - start), spans, start, end)

        try:
            _spread(self._loans, spans.segments(frames.PLAIN), work)
        except SdkError as error:
            error.message = f"Shard {shard.id} (number {number}): {error.message}"
            error.args = (error.message,)
            raise


def _copy(found: memoryview, spans: Spans, start: int, end: int) -> None:
    whole = spans.whole(start, end)
    if whole is not None:
        whole[:] = found
        return
    for offset, part in spans.parts(start, end):
        part[:] = found[offset : offset + len(part)]


def _spread(
    workers: Sequence[T], positions: Sequence[int], work: Callable[[T, Callable[[], int | None]], None]
) -> None:
    """Let each worker take position after position; the first failure stops all and is the one that is raised."""
    queue, lock, failed = iter(positions), threading.Lock(), threading.Event()

    def following() -> int | None:
        with lock:
            return None if failed.is_set() else next(queue, None)

    def guarded(worker: T) -> None:
        try:
            work(worker, following)
        except BaseException:
            failed.set()
            raise

    some = workers[: max(1, len(positions))]
    if len(some) == 1:
        guarded(some[0])
        return
    with ThreadPoolExecutor(len(some), "weighthouse-lent") as pool:
        errors = [future.exception() for future in [pool.submit(guarded, worker) for worker in some]]
    for error in errors:
        if error is not None:
            raise error


def save(
    lender: Lender,
    tensors: Mapping[str, Any],
    ticket: SaveTicket,
    *,
    plan: Sequence[Sequence[str]],
    metadata: Mapping[str, str] | None = None,
    threads: int | None = None,
) -> bytes:
    """Have `tensors` encrypted and written outside, under keys that never come here; return the signed envelope.

    A failed save leaves no file behind; repeat it with a new ticket, never with this one.
    """
    prepared = prepare(tensors, plan, ticket, metadata or {})
    lengths = [
        len(header) + (entries[-1].end if entries else 0)
        for header, entries in zip(prepared.headers, prepared.entries, strict=True)
    ]
    lengths.append(len(prepared.index))
    with contextlib.ExitStack() as stack:
        first = _joined(lender, {"save": ticket.save, "lengths": lengths}, stack)
        count = min(threads or default_threads(), frames.CONNECTIONS)
        ways = [first, *(_joined(lender, {"save": ticket.save}, stack) for _ in range(count - 1))]
        for number, (header, entries) in enumerate(zip(prepared.headers, prepared.entries, strict=True)):
            pairs = [(0, memoryview(header))]
            for entry in entries:
                tensor = as_tensor(entry.name, tensors[entry.name])
                if (tensor.dtype, tensor.shape, len(tensor.data)) != (
                    entry.dtype, entry.shape, entry.end - entry.begin,
                ):  # fmt: skip
                    why = f"Tensor {entry.name!r} was changed in shape or type while it was being saved."
                    raise CheckpointError("checkpoint.changed", why, "Save from a copy, or wait for the save.")
                pairs.append((len(header) + entry.begin, tensor.data))
            _bring(ways, number, Spans(pairs), lengths[number])
        _bring(ways, len(prepared.headers), Spans([(0, memoryview(prepared.index))]), lengths[-1])
        for way in reversed(ways):  # the first one asks for the manifest when all others are heard of
            with _heard(way):
                way.sendall(frames.FRAME.pack(frames.NOTHING_MORE, 0, int(way is first)))
            answer = frames.hear(way)
    return str(answer["envelope"]).encode()


def _joined(lender: Lender, purpose: Mapping[str, Any], stack: contextlib.ExitStack) -> socket.socket:
    way, _ = lender.connect(purpose)
    stack.callback(way.close)
    return way


def _bring(ways: Sequence[socket.socket], number: int, spans: Spans, length: int) -> None:
    """Send every segment of one shard, spread over the connections."""
    count = max(1, -(-length // frames.PLAIN))

    def work(way: socket.socket, following: Callable[[], int | None]) -> None:
        while (position := following()) is not None:
            start = position * frames.PLAIN
            end = min(start + frames.PLAIN, length)
            with _heard(way):
                way.sendall(frames.FRAME.pack(number, position, end - start))
                for _, part in spans.parts(start, end):
                    way.sendall(part)

    _spread(ways, range(count), work)


@contextlib.contextmanager
def _heard(way: socket.socket) -> Iterator[None]:
    """Where the other end has closed, raise what it said before."""
    try:
        yield
    except OSError as error:
        frames.hear(way)
        raise frames.gone(str(error)) from None
