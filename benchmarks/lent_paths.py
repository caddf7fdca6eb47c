"""Ways for plaintext to reach a run whose data keys stay outside, for `lent_load`: both ends of each way.

This file alone is shown to the sandbox; it needs nothing but the SDK. `Lender` decrypts outside, a thread a
connection; the client stands in the run and fills buffers that it owns. `today` is what they are measured against:
the run itself has the data key.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from weighthouse_sdk import floe
from weighthouse_sdk.floe_files import read_exactly
from weighthouse_sdk.manifest_merkle import leaf_hash, split_leaves

STEP, PLAIN = floe.GCM256_IV256_1M.segment, floe.GCM256_IV256_1M.plain
SLOTS = 4  # of shared memory a connection
BUFFER = 4 << 20
AAD = b"bench"
TAG = 16
WAYS = ("today", "stream", "memfd", "window", "sealed")


def room(size: int) -> memoryview:
    """Memory that begins on a page."""
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def receive(way: socket.socket, view: memoryview) -> None:
    """Fill `view`, or end."""
    while len(view):
        count = way.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]


class Source:
    """One shard under a data key, checked and opened segment by segment as a load does."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self.file = os.open(folder / "shard", os.O_RDONLY)
        self.shape = floe.shape_of_ciphertext(os.fstat(self.file).st_size)
        header = bytearray(floe.HEADER_BYTES)
        read_exactly(self.file, memoryview(header), 0)
        self.decryptor = floe.Decryptor(key, AAD, header)
        root = bytes.fromhex((folder / "root").read_text())
        self.leaves = split_leaves((folder / "leaves").read_bytes(), self.shape.segments, root)

    def open(self, cipher: floe.SegmentCipher, sealed: memoryview, out: memoryview, position: int) -> int:
        final = position == self.shape.segments - 1
        segment = sealed[: self.shape.last] if final else sealed
        read_exactly(self.file, segment, floe.HEADER_BYTES + position * STEP)
        if leaf_hash(segment) != self.leaves[position]:
            raise SystemExit("not what was signed")
        return cipher.open_into(position, final, segment, out)


class Lender:
    """Answers on one socket: a letter for the way, then a position a request."""

    def __init__(self, path: Path, source: Source, window: Path) -> None:
        self.source = source
        self.window = window
        self.used = 0
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(16)
        while True:
            way, _ = listener.accept()
            way.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            threading.Thread(target=self._talk, args=(way,), daemon=True).start()

    def _talk(self, way: socket.socket) -> None:
        said, files, _, _ = socket.recv_fds(way, 1, 1)
        if said == b"c":
            way.sendall(struct.pack("d", time.process_time()))
            return
        answer = {b"s": self._stream, b"m": self._slots, b"w": self._slots, b"r": self._sealed}[said]
        answer(way, files)

    def _asked(self, way: socket.socket) -> int | None:
        said = way.recv(4, socket.MSG_WAITALL)
        return struct.unpack("I", said)[0] if said else None

    def _stream(self, way: socket.socket, _: list[int]) -> None:
        cipher, sealed, plain = self.source.decryptor.cipher(), room(STEP), room(STEP)
        while (position := self._asked(way)) is not None:
            way.sendall(plain[: self.source.open(cipher, sealed, plain, position)])

    def _slots(self, way: socket.socket, files: list[int]) -> None:
        """Into memory that both see: the run's own memfd, or the file that lies outside and is shown to the run."""
        first = 0
        if not files:
            first = (receive_number(way) % 2) * SLOTS
            files = [os.open(self.window, os.O_RDWR)]
        shared = memoryview(mmap.mmap(files[0], 0))
        os.close(files[0])
        cipher, sealed, at = self.source.decryptor.cipher(), room(STEP), 0
        while (position := self._asked(way)) is not None:
            slot = (first + at % SLOTS) * STEP
            at += 1
            self.source.open(cipher, sealed, shared[slot : slot + PLAIN], position)
            way.sendall(b".")

    def _sealed(self, way: socket.socket, _: list[int]) -> None:
        """Under a key made on the spot, which the run is told."""
        key = os.urandom(32)
        way.sendall(key)
        cipher, sealed, plain, again = self.source.decryptor.cipher(), room(STEP), room(STEP), AESGCM(key)
        while (position := self._asked(way)) is not None:
            size = self.source.open(cipher, sealed, plain, position)
            again.encrypt_into(struct.pack(">QI", position, 0), plain[:size], None, sealed[: size + TAG])
            way.sendall(sealed[: size + TAG])


def receive_number(way: socket.socket) -> int:
    """One number of four bytes."""
    said = bytearray(4)
    receive(way, memoryview(said))
    number: int = struct.unpack("I", said)[0]
    return number


class Client:
    """One thread's connection in the run; `ask` goes ahead of `take` by as many segments as there are slots."""

    def __init__(self, way: str, path: str, window: str, number: int) -> None:
        self._at = 0
        self._kind = way
        self._way = socket.socket(socket.AF_UNIX)
        self._way.connect(path)
        self._first = 0
        if way == "memfd":
            memory = os.memfd_create("slots")
            os.ftruncate(memory, SLOTS * STEP)
            socket.send_fds(self._way, [b"m"], [memory])
            self._shared = memoryview(mmap.mmap(memory, 0))
            os.close(memory)
        elif way == "window":
            self._way.sendall(b"w" + struct.pack("I", number))
            self._first = (number % 2) * SLOTS
            file = os.open(window, os.O_RDONLY)
            self._shared = memoryview(mmap.mmap(file, 0, prot=mmap.PROT_READ))
            os.close(file)
        else:
            self._way.sendall(b"s" if way == "stream" else b"r")
        if way == "sealed":
            key = bytearray(32)
            receive(self._way, memoryview(key))
            self._cipher, self._room = AESGCM(bytes(key)), room(STEP)

    def ask(self, position: int) -> None:
        self._way.sendall(struct.pack("I", position))

    def take(self, position: int, view: memoryview) -> None:
        if self._kind == "stream":
            receive(self._way, view)
        elif self._kind == "sealed":
            sealed = self._room[: len(view) + TAG]
            receive(self._way, sealed)
            self._cipher.decrypt_into(struct.pack(">QI", position, 0), sealed, None, view)
        else:
            receive(self._way, memoryview(bytearray(1)))
            slot = (self._first + self._at % SLOTS) * STEP
            self._at += 1
            view[:] = self._shared[slot : slot + len(view)]

    def close(self) -> None:
        self._way.close()


def load(source: Source, target: memoryview, threads: int, client: Callable[[int], Client] | None) -> None:
    """Fill `target` over `threads`: by the source itself, or by a client each."""
    positions, lock = iter(range(source.shape.segments)), threading.Lock()

    def following() -> int | None:
        with lock:
            return next(positions, None)

    def own(_: int) -> None:
        cipher, sealed = source.decryptor.cipher(), room(STEP)
        while (position := following()) is not None:
            source.open(cipher, sealed, target[position * PLAIN : (position + 1) * PLAIN], position)

    def lent(number: int) -> None:
        assert client is not None
        way, waiting = client(number), list[int]()
        while (position := following()) is not None or waiting:
            if position is not None:
                way.ask(position)
                waiting.append(position)
            if position is None or len(waiting) == SLOTS:
                first = waiting.pop(0)
                way.take(first, target[first * PLAIN : (first + 1) * PLAIN])
        way.close()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lent if client else own, range(threads)))


def lender_seconds(path: str) -> float:
    """Processor time that the lender has used."""
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(path)
        way.sendall(b"c")
        said = bytearray(8)
        receive(way, memoryview(said))
        seconds: float = struct.unpack("d", said)[0]
        return seconds


def in_the_run(folder: str, threads: int, rounds: int, ways: list[str]) -> dict[str, Any]:
    """Best wall and processor seconds of each way, interleaved, after one round to warm up."""
    path, window = f"{folder}/lender", f"{folder}/window"
    source = Source(Path(folder), bytes.fromhex(Path(folder, "key").read_text()))
    target = room(source.shape.plain)
    best: dict[str, tuple[float, float]] = {}
    for number in range(rounds + 1):
        for way in ways:
            target[:16] = bytes(16)
            made = None if way == "today" else lambda n, way=way: Client(way, path, window, n)
            wall, used = time.perf_counter(), time.process_time() + lender_seconds(path)
            load(source, target, threads, made)
            wall = time.perf_counter() - wall
            used = time.process_time() + lender_seconds(path) - used
            if not any(target[:16]):
                raise SystemExit(f"{way} brought nothing")
            if number:
                kept = best.get(way, (wall, used))
                best[way] = min(kept[0], wall), min(kept[1], used)
    return {"bytes": source.shape.plain, "best": best}


if __name__ == "__main__":
    print(json.dumps(in_the_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])), flush=True)
