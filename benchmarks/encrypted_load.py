"""Encrypted checkpoints against plain ones: load against `preadv` and safetensors, save against `pwrite`.

Everything runs interleaved in this process, from the page cache, into the same preallocated buffers; each figure is
the best of its rounds, since other work on the machine can only make a round slower.

    python -m benchmarks.encrypted_load --mib 512 --rounds 9
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import safetensors.numpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.report import report
from weighthouse_sdk import checkpoint, floe
from weighthouse_sdk.checkpoint_binding import Recipient, bindings, seal_key
from weighthouse_sdk.floe_files import Crew, create_new, default_threads, read_exactly, seal_spans, write_exactly
from weighthouse_sdk.floe_spans import Spans
from weighthouse_sdk.manifest import open_envelope

MIB = 1 << 20
Timed = Callable[[], Any]


class Setup:
    """The same tensors three ways: encrypted, safetensors, and raw bytes, with buffers that were touched before."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder, self.size = folder, mib * MIB
        count = max(1, mib // 32)
        draw = numpy.random.default_rng(1)
        self.tensors = {f"t{at}": draw.integers(0, 256, self.size // count, dtype="uint8") for at in range(count)}
        self.into = {name: numpy.ones_like(array) for name, array in self.tensors.items()}
        self.recipient, self.signer = Recipient(), Ed25519PrivateKey.generate()
        self.names = (os.urandom(16).hex(), os.urandom(16).hex())
        places = bindings("lab", "model/bench", "ver", "sav", self.names)
        sealed = [seal_key(os.urandom(32), self.recipient.public, place.aad()) for place in places]
        self.keys = [
            {"shard": name, "sealed": base64.b64encode(box).decode()}
            for name, box in zip(self.names, sealed, strict=True)
        ]
        self.common = {"version": "ver", "tenant": "lab", "model": "model/bench", "save": "sav", "keys": self.keys}
        ticket = checkpoint.parse_save(self.common)
        self.envelope = checkpoint.save(
            self.tensors, ticket, self.recipient, self.signer, folder, plan=[list(self.tensors)]
        )
        safetensors.numpy.save_file(self.tensors, folder / "plain.safetensors")
        self.plain = os.open(folder / "plain.safetensors", os.O_RDONLY)
        self.start = os.fstat(self.plain).st_size - self.size

    def load(self, verify: str, threads: int | None = None) -> None:
        public = self.signer.public_key().public_bytes_raw()
        ticket = checkpoint.parse_load(
            {
                **self.common,
                "digest": open_envelope(self.envelope, public).digest(),
                "manifest": self.envelope.decode(),
                "signer": base64.b64encode(public).decode(),
                "lease": "",
                "lease_until": 0,
                "now": 0,
                "verify": "tags",
            }
        )
        checkpoint.load(ticket, self.recipient, self.folder, into=self.into, verify=verify, threads=threads)

    def read_plain(self) -> None:
        at = self.start
        for array in self.into.values():
            read_exactly(self.plain, memoryview(array), at)
            at += len(array)

    def load_file(self) -> None:
        safetensors.numpy.load_file(self.folder / "plain.safetensors")

    def save(self, *, hashed: bool, threads: int | None = None) -> None:
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


def measure(rounds: int, work: dict[str, Timed]) -> dict[str, list[float]]:
    """Seconds of each piece of work in each round, interleaved, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, run in work.items():
            begun = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def main() -> int:
    """Print speeds and ratios; return 0 if every target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    threads = default_threads()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        setup = Setup(Path(name), chosen.mib)
        seconds = measure(
            chosen.rounds,
            {
                "plain preadv": setup.read_plain,
                "safetensors load_file": setup.load_file,
                "encrypted load": lambda: setup.load("tags"),
                "encrypted load, 1 thread": lambda: setup.load("tags", 1),
                "encrypted load, signed segments": lambda: setup.load("signed"),
                "plain pwrite": setup.write_plain,
                "safetensors save_file": setup.save_file,
                "encrypted save, tags only": lambda: setup.save(hashed=False),
                "encrypted save": lambda: setup.save(hashed=True),
            },
        )
        same = all((setup.into[name] == array).all() for name, array in setup.tensors.items())
    print(f"{chosen.mib} MiB, {threads} threads, best of {chosen.rounds} rounds; loaded bytes equal: {same}")
    for what, taken in seconds.items():
        print(f"  {what:34} {chosen.mib * MIB / min(taken) / 1e9:6.2f} GB/s")

    def ratio(base: str, ours: str) -> float:
        return min(seconds[base]) / min(seconds[ours])

    load, signed = "encrypted load", "encrypted load, signed segments"
    facts = {"mib": chosen.mib, "threads": threads}
    met = [
        report(
            "encrypted load / plain preadv into the same buffers", ratio("plain preadv", load), ">=", 0.8, **facts
        ),
        report("encrypted load / safetensors load_file", ratio("safetensors load_file", load), ">=", 2.5, **facts),
        report("load with signed segments / without", ratio(load, signed), ">=", 0.5, **facts),
        report("encrypted save / plain pwrite", ratio("plain pwrite", "encrypted save"), ">=", 0.3, **facts),
    ]
    return 0 if all(met) and same else 1


if __name__ == "__main__":
    sys.exit(main())
