"""What it costs that a run has no data key: ways of lending plaintext against a run that decrypts by itself.

`today` reads, checks and decrypts in the sandbox, as the run did while it was given the data key. The others decrypt
in a process outside: plaintext streamed over a Unix socket; written into slots of a memfd that the run made; written
into slots of a file of memory that is shown to the run read-only (`window`, which was chosen); and sealed again under
a key of the moment. Then the product itself, outside of any sandbox: a load and a save through a lender against those
of a process that has the keys. Each figure is the best of its rounds, interleaved. Processor time (of run and lender
together) is printed beside, for it says what a busy machine hides; in gVisor the run's own clock does not see what
its kernel uses. A target is met by the better of both ratios.

    python -m benchmarks.lent_load --mib 512 --rounds 7
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy

from benchmarks import lent_paths, lent_product
from benchmarks.report import report
from weighthouse.core import folders
from weighthouse.runs.adapters.bubblewrap import Bubblewrap
from weighthouse.runs.adapters.ground import PROJECT, find_bubblewrap, own_environment
from weighthouse.runs.adapters.runsc import Runsc
from weighthouse.runs.model import Limits
from weighthouse.runs.ports import Mount, Sandbox, SandboxSpec
from weighthouse_sdk import floe
from weighthouse_sdk.manifest_merkle import leaf_hash, root_of

MIB = 1 << 20
CHOSEN, TARGET = "window", 0.7
RUNSC = PROJECT / ".parts" / "bin" / "runsc"


def write(folder: Path, mib: int, key: bytes) -> None:
    """One shard of random bytes under `key`, with what a reader checks it by."""
    data = memoryview(numpy.random.default_rng(1).integers(0, 256, mib * MIB, dtype="uint8"))
    encryptor = floe.Encryptor(key, lent_paths.AAD)
    shape, cipher, leaves = floe.shape_of_plaintext(len(data)), encryptor.cipher(), []
    out, size = memoryview(bytearray(lent_paths.STEP)), lent_paths.PLAIN
    with (folder / "shard").open("wb") as file:
        file.write(encryptor.header)
        for at in range(shape.segments):
            length = cipher.seal_into(at, at == shape.segments - 1, data[at * size : (at + 1) * size], out)
            leaves.append(leaf_hash(out[:length]))
            file.write(out[:length])
    (folder / "leaves").write_bytes(b"".join(leaves))
    (folder / "root").write_text(root_of(leaves).hex())
    (folder / "key").write_text(key.hex())
    with (folder / "window").open("wb") as file:
        file.truncate(2 * lent_paths.SLOTS * lent_paths.STEP)
    for path in folder.iterdir():
        path.chmod(0o644)


def _lend(folder: Path, key: bytes) -> None:
    lent_paths.Lender(folder / "lender", lent_paths.Source(folder, key), folder / "window")


def measure(sandbox: Sandbox, folder: Path, ways: list[str], rounds: int) -> dict[str, Any]:
    """Run the client in the sandbox and return what it measured."""
    box = folder.parent / f"box-{sandbox.name}"
    box.mkdir()
    environment = own_environment()
    command = (environment.python, "/bench/lent_paths.py", "/lent", "2", str(rounds), *ways)
    program = folder.parent / "program"
    program.mkdir(exist_ok=True)
    (program / "lent_paths.py").write_text(Path(lent_paths.__file__).read_text())
    for each in (program, folder):
        each.chmod(0o755)
    (program / "lent_paths.py").chmod(0o644)
    mounts = (Mount(folders.hold_folder(program), "/bench"), Mount(folders.hold_folder(folder), "/lent"))
    variables = {"PYTHONPATH": ":".join(environment.paths), "PYTHONDONTWRITEBYTECODE": "1"}
    spec = SandboxSpec(
        name="bench", folder=box, environment=environment, mounts=mounts, workdir="/tmp",
        command=command, variables=variables, limits=Limits(memory_bytes=4 << 30, processes=64),
    )  # fmt: skip
    handle, lines = sandbox.start(spec), []
    try:
        while handle.wait(0) is None:
            lines += handle.lines(100)
        while rest := handle.lines(0):
            lines += rest
    finally:
        handle.stop()
        for mount in mounts:
            os.close(mount.source)
    found = [line.text for line in lines if line.text.startswith('{"bytes"')]
    if not found:
        raise SystemExit("\n".join(line.text for line in lines))
    answer: dict[str, Any] = json.loads(found[0])
    return answer


def main() -> int:
    """Print speeds and ratios of every tier that is here; return 0 if the chosen way meets its target in each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    binary, met = find_bubblewrap(), []
    tiers: list[Sandbox] = [Bubblewrap(binary)] if binary else []
    tiers += [Runsc(RUNSC)] if RUNSC.is_file() else []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER", "/dev/shm")) as name:
        folder, key = Path(name) / "lent", os.urandom(32)
        folder.mkdir()
        write(folder, chosen.mib, key)
        lender = multiprocessing.get_context("fork").Process(target=_lend, args=(folder, key), daemon=True)
        lender.start()
        for sandbox in tiers:
            ways = [way for way in lent_paths.WAYS if way != "memfd" or sandbox.tier == "bubblewrap"]
            found = measure(sandbox, folder, ways, chosen.rounds)
            wall, used = ({way: pair[at] for way, pair in found["best"].items()} for at in (0, 1))
            print(f"{sandbox.tier}, {chosen.mib} MiB, 2 threads, best of {chosen.rounds} rounds")
            for way in ways:
                speed, cost = found["bytes"] / wall[way] / 1e9, used[way] / found["bytes"] * 1e9
                ratio = f"{wall['today'] / wall[way]:5.2f} of today ({used['today'] / used[way]:.2f} by processor)"
                print(f"  {way:8} {speed:6.2f} GB/s {cost:6.3f} ns/byte {ratio}", flush=True)
            ratio = max(wall["today"] / wall[CHOSEN], used["today"] / used[CHOSEN])
            met.append(report(f"lent load in {sandbox.tier} / the run's own", ratio, ">=", TARGET, mib=chosen.mib))
        lender.kill()
        met += lent_product.measure(Path(name), chosen.mib, chosen.rounds)
    return 0 if met and all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
