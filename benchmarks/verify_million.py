"""What verifying costs: weighthouse-verify over an exported log against a plain hash chain over the same files.

The peer reads the same entry bundles, splits them in the same way and chains one SHA-256 over each entry: the
cheapest check there could be, and one that gives no short proofs and names no index. Both run in this process, in
turns; each figure is the best of its turns, and growth compares the log with one a tenth its size.

    python -m benchmarks.verify_million [--entries 1000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from benchmarks.report import report
from weighthouse.audit.model import Leaf
from weighthouse.audit.rules import leaf as leaves
from weighthouse.audit.rules import tiles, tree
from weighthouse_verify.folder import FolderCheck
from weighthouse_verify.tree import tile_name

TURNS = 3


def write_log(folder: Path, entries: int) -> bytes:
    """Write a log of `entries` as an export does; return its root."""
    # Canonical encoding is not what is measured: one leaf is encoded in full, the others differ in their number.
    template = leaves.build(
        Leaf(
            kind="access.Allowed",
            version=1,
            at=1_790_000_000_000,
            actor="ada",
            request="rqs_06f0000000000000000000000",
            subject="model/tern",
            data={"action": "weights.load", "grant": "grt_06f0000000000000000000000", "number": 0},
        )
    )
    edge = tiles.Edge()
    bundle: list[bytes] = []
    for number in range(entries):
        bundle.append(template.replace(b'"number":0', b'"number":%d' % number))
        if len(bundle) == tiles.TILE_WIDTH or number == entries - 1:
            growth = tiles.grow(edge, [tree.leaf_hash(leaf) for leaf in bundle])
            edge = growth.edge
            index, width = number // tiles.TILE_WIDTH, len(bundle)
            put(folder / tiles.entries_path(index, width), tiles.pack_bundle(bundle))
            for (level, place), hashes in growth.tiles.items():
                if len(hashes) == tiles.TILE_BYTES or number == entries - 1:
                    put(folder / tiles.tile_path(level, place, len(hashes) // 32), hashes)
            bundle = []
    for level, tail in enumerate(edge.tails):
        if tail:
            place = entries >> tiles.TILE_HEIGHT * (level + 1)
            put(folder / tiles.tile_path(level, place, len(tail) // 32), tail)
    return edge.root()


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def chain(folder: Path, entries: int) -> bytes:
    """Chain one hash over every entry of the bundles."""
    value = bytes(32)
    for index in range((entries + 255) // 256):
        width = min(256, entries - index * 256)
        data = (folder / tile_name("entries", index, width)).read_bytes()
        at, end = 0, len(data)
        while at < end:
            start = at + 2
            at = start + (data[at] << 8 | data[at + 1])
            value = sha256(value + data[start:at]).digest()
    return value


def verify(folder: Path, entries: int, root: bytes) -> None:
    """Check the whole folder as the program does; the one signature is not worth timing."""
    problems = FolderCheck(folder, entries, root).run()
    assert not problems, problems[0]


def best(*works: Callable[[], object]) -> list[float]:
    """Run the works in turns; return the best time of each."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS):
        for kept, work in zip(times, works, strict=True):
            started = time.perf_counter()
            work()
            kept.append(time.perf_counter() - started)
    return [min(kept) for kept in times]


def main() -> None:
    """Write two logs, check both, and report the ratio and the growth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as name:
        large, small, tenth = Path(name) / "large", Path(name) / "small", max(1, entries // 10)
        top, low = write_log(large, entries), write_log(small, tenth)
        ours, peer, less = best(
            lambda: verify(large, entries, top), lambda: chain(large, entries), lambda: verify(small, tenth, low)
        )
    print(
        f"{entries:,} entries: verified in {ours:.2f} s, chained in {peer:.2f} s; {tenth:,} verified in {less:.2f} s"
    )
    print(f"ten times the entries take {ours / less:.1f} times as long")
    report(
        f"verify {entries:,} entries / a plain hash chain over them",
        ours / peer,
        "<=",
        3.0,
        growth=round(ours / less, 2),
    )


if __name__ == "__main__":
    main()
