"""Encrypted checkpoints against plain ones: load against `preadv` and safetensors, save against `pwrite`.

"Default" is what a caller gets who sets nothing: `checkpoint.load` on one thread a core, the hash of each segment led
to the signed root, then its tag. Everything runs interleaved in this process, from the page cache, into the same
NumPy buffers; each figure is the best of its rounds, since other work on the machine only makes a round slower. CPU
time is printed beside, for it says what a busy machine hides.

What a plain read costs depends on luck: with buffer and file offset 8 bytes apart it takes three times as long as on
one alignment. The baseline is a file of nothing but the arrays, as `tofile` writes it, into arrays as NumPy makes
them; the same read at its luckiest alignment, and on all threads, is printed without a target. So are fresh arrays:
what memory costs that nobody has touched is the machine's affair (a young virtual machine: ten times more).

    python -m benchmarks.encrypted_load --mib 512 --rounds 9
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.encrypted_setup import MIB, Checkpoint, extra_memory
from benchmarks.report import report
from weighthouse_sdk.floe_files import default_threads

Timed = Callable[[], Any]


def measure(rounds: int, work: dict[str, Timed]) -> dict[str, tuple[float, float]]:
    """Best wall and CPU seconds of each piece of work, interleaved, after one round to warm up."""
    best: dict[str, tuple[float, float]] = {}
    for number in range(rounds + 1):
        for name, run in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if number:
                kept = best.get(name, (wall, cpu))
                best[name] = min(kept[0], wall), min(kept[1], cpu)
    return best


def work(setup: Checkpoint, small: Checkpoint) -> dict[str, Timed]:
    """What is timed, defaults first."""
    return {
        "load, default": setup.load,
        "load, default, fresh arrays": lambda: setup.load(into=False),
        "load, default, a tenth of the size": small.load,
        "load, 1 thread": lambda: setup.load(threads=1),
        "load, tags only": lambda: setup.load("tags"),
        "load, tags only, 1 thread": lambda: setup.load("tags", threads=1),
        "plain preadv": setup.read_plain,
        "plain preadv, luckiest alignment": lambda: setup.read_plain(lucky=True),
        "plain preadv, all threads": lambda: setup.read_plain(threads=default_threads()),
        "safetensors load_file": setup.load_file,
        "save, default": setup.save,
        "save, 1 thread": lambda: setup.save(threads=1),
        "save, tags only": lambda: setup.save(hashed=False),
        "save, tags only, 1 thread": lambda: setup.save(hashed=False, threads=1),
        "plain pwrite": setup.write_plain,
        "safetensors save_file": setup.save_file,
    }


def judge(
    best: dict[str, tuple[float, float]], setup: Checkpoint, small: Checkpoint, facts: dict[str, Any]
) -> list[bool]:
    """Print each ratio with its target; return which were met."""

    def ratio(base: str, ours: str) -> float:
        return best[base][0] / best[ours][0]

    default, plain, write = "load, default", "plain preadv", "plain pwrite"
    tenth = best["load, default, a tenth of the size"][0] / small.size
    growth = best[default][0] / setup.size / tenth
    targets = (
        ("default load / plain preadv into the same buffers", ratio(plain, default), 0.8),
        ("default load / safetensors load_file", ratio("safetensors load_file", default), 2.5),
        ("default load, 1 thread / plain preadv", ratio(plain, "load, 1 thread"), 0.4),
        ("load with tags only, 1 thread / plain preadv", ratio(plain, "load, tags only, 1 thread"), 0.8),
        ("default load / load with tags only", ratio("load, tags only", default), 0.5),
        ("default save / plain pwrite", ratio(write, "save, default"), 0.3),
        ("save with tags only, 1 thread / plain pwrite", ratio(write, "save, tags only, 1 thread"), 0.4),
    )  # fmt: skip
    met = [report(name, value, ">=", target, **facts) for name, value, target in targets]
    met.append(report("default load, time a byte at ten times the size", growth, "<=", 1.3, **facts))
    tensor, read = setup.one_tensor()
    met.append(report("bytes read for one tensor / its size + 2 MiB", read / (tensor + 2 * MIB), "<=", 1.0, **facts))
    met.append(
        report("memory of a load beside the buffers, MiB", extra_memory(setup.load) / MIB, "<=", 16.0, **facts)
    )
    return met


def main() -> int:
    """Print speeds and ratios; return 0 if every target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    threads = default_threads()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        setup = Checkpoint(Path(name) / "whole", chosen.mib)
        small = Checkpoint(Path(name) / "tenth", max(1, chosen.mib // 10))
        best = measure(chosen.rounds, work(setup, small))
        same = setup.loaded_equals_saved()
        print(f"{chosen.mib} MiB, {threads} threads, best of {chosen.rounds} rounds; loaded bytes equal: {same}")
        print(f"  {'':36}   GB/s  CPU ns/byte")
        for what, (wall, cpu) in best.items():
            size = (small if "tenth" in what else setup).size
            print(f"  {what:36} {size / wall / 1e9:6.2f}  {cpu / size * 1e9:6.3f}")
        core = best["plain preadv"][1] / best["load, default"][1]
        print(
            f"  by CPU time, the default load is {core:.2f} of plain preadv a core, {core * threads:.2f} on {threads}"
        )
        met = judge(best, setup, small, {"mib": chosen.mib, "threads": threads})
    return 0 if all(met) and same else 1


if __name__ == "__main__":
    sys.exit(main())
