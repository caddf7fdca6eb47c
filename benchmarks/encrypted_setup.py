"""One checkpoint three ways for `encrypted_load`: sealed, as safetensors and as raw bytes, with touched buffers."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import safetensors.numpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse_sdk import checkpoint, floe
from weighthouse_sdk.checkpoint_binding import Recipient, bindings, seal_key
from weighthouse_sdk.floe_files import Crew, create_new, read_exactly, seal_spans, write_exactly
from weighthouse_sdk.floe_spans import Spans
from weighthouse_sdk.manifest import open_envelope

MIB = 1 << 20
LINE = 64


class Checkpoint:
    """The same tensors three ways, and buffers for them that were touched before."""

    def __init__(self, folder: Path, mib: int) -> None:
        folder.mkdir()
        self.folder, self.size = folder, mib * MIB
        count = max(1, mib // 32)
        draw = numpy.random.default_rng(1)
        each = self.size // count
        self.tensors = {f"t{at}": draw.integers(0, 256, each, dtype="uint8") for at in range(count)}
        self.into = {name: numpy.ones_like(array) for name, array in self.tensors.items()}
        self.size = each * count
        self._seal()
        safetensors.numpy.save_file(self.tensors, folder / "plain.safetensors")
        # Luck is when file offset and address are apart by whole cache lines; NumPy's arrays begin 16 bytes past one.
        lucky = next(iter(self.into.values())).ctypes.data % LINE
        self.raw = {False: self._raw("raw", 0), True: self._raw("lucky", lucky)}
        self.starts = {False: 0, True: lucky}

    def _seal(self) -> None:
        self.recipient, self.signer = Recipient(), Ed25519PrivateKey.generate()
        names = (os.urandom(16).hex(), os.urandom(16).hex())
        places = bindings("lab", "model/bench", "ver", "sav", names)
        boxes = [seal_key(os.urandom(32), self.recipient.public, place.aad()) for place in places]
        keys = [{"shard": n, "sealed": base64.b64encode(box).decode()} for n, box in zip(names, boxes, strict=True)]
        self.common = {"version": "ver", "tenant": "lab", "model": "model/bench", "save": "sav", "keys": keys}
        ticket = checkpoint.parse_save(self.common)
        self.envelope = checkpoint.save(
            self.tensors, ticket, self.recipient, self.signer, self.folder, plan=[list(self.tensors)]
        )

    def _raw(self, name: str, lead: int) -> int:
        with (self.folder / name).open("wb") as file:
            file.write(bytes(lead))
            for array in self.tensors.values():
                array.tofile(file)
        return os.open(self.folder / name, os.O_RDONLY)

    def load(
        self,
        verify: str | None = None,
        *,
        threads: int | None = None,
        into: bool = True,
        names: list[str] | None = None,
    ) -> None:
        public = self.signer.public_key().public_bytes_raw()
        answer = {
            **self.common,
            "digest": open_envelope(self.envelope, public).digest(),
            "manifest": self.envelope.decode(),
            "signer": base64.b64encode(public).decode(),
            "lease": "",
            "lease_until": 0,
            "now": 0,
            "verify": "tags",
        }
        target = dict(self.into) if into else None
        ticket = checkpoint.parse_load(answer)
        checkpoint.load(ticket, self.recipient, self.folder, into=target, verify=verify, threads=threads, names=names)

    def loaded_equals_saved(self) -> bool:
        for array in self.into.values():
            array[:] = 0
        self.load()
        return all((self.into[name] == array).all() for name, array in self.tensors.items())

    def read_plain(self, *, lucky: bool = False, threads: int = 1) -> None:
        at, pieces = self.starts[lucky], []
        for array in self.into.values():
            pieces.append((memoryview(array), at))
            at += len(array)
        if threads == 1:
            for piece in pieces:
                read_exactly(self.raw[lucky], *piece)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda piece: read_exactly(self.raw[lucky], *piece), pieces))

    def load_file(self) -> None:
        safetensors.numpy.load_file(self.folder / "plain.safetensors")

    def save(self, *, hashed: bool = True, threads: int | None = None) -> None:
        """The encrypting half of a save: no fsync, for `pwrite` beside it has none."""
        self._new("saved.floe")
        at, pairs = 0, []
        for array in self.tensors.values():
            pairs.append((at, memoryview(array)))
            at += len(array)
        descriptor = create_new(self.folder / "saved.floe")
        with Crew(threads) as crew:
            seal_spans(descriptor, floe.Encryptor(os.urandom(32), b"bench"), Spans(pairs), crew, hashed=hashed)
        os.close(descriptor)

    def write_plain(self) -> None:
        self._new("saved.plain")
        descriptor = create_new(self.folder / "saved.plain")
        at = 0
        for array in self.tensors.values():
            for low in range(0, len(array), 4 * MIB):
                write_exactly(descriptor, memoryview(array)[low : low + 4 * MIB], at + low)
            at += len(array)
        os.close(descriptor)

    def save_file(self) -> None:
        self._new("saved.safetensors")
        safetensors.numpy.save_file(self.tensors, self.folder / "saved.safetensors")

    def _new(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def one_tensor(self) -> tuple[int, int]:
        """The size of the last tensor, and the bytes this process read from files to load it alone."""
        name = list(self.tensors)[-1]
        before = _read_so_far()
        self.load(names=[name])
        return len(self.tensors[name]), _read_so_far() - before


def _read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def extra_memory(act: Callable[[], None]) -> int:
    """Bytes by which resident memory rises at most while `act` runs (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    act()
    return max(0, _status("VmHWM") - before)


def _status(field: str) -> int:
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) << 10
