"""The Merkle tree of RFC 6962, written apart from the server's so that one cannot repeat the other's mistake.

Guards the arithmetic: the root of a list, the root of a tiled tree from its unfinished tiles, and an inclusion path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

WIDTH = 256
HASH = 32
EMPTY = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf."""
    return sha256(b"\x00" + leaf).digest()


def root(hashes: bytes) -> bytes:
    """Return the root over concatenated hashes, by pairing neighbours; an odd last one moves up unchanged."""
    if not hashes:
        return EMPTY
    level = hashes
    while len(level) > HASH:
        pairs = len(level) // 64
        rest = level[pairs * 64 :]
        level = b"".join([sha256(b"\x01" + level[i : i + 64]).digest() for i in range(0, pairs * 64, 64)]) + rest
    return level


def edge_root(tails: Sequence[bytes]) -> bytes:
    """Return the root of a tiled tree from the unfinished tile of each level, lowest first (empty where complete).

    What is left over at one level stands as one more, last, hash at the level above.
    """
    over = b""
    for tail in tails:
        hashes = tail + over
        over = root(hashes) if hashes else b""
    return over or EMPTY


def path_root(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion path leads to, None if it has the wrong length (RFC 6962, section 2.1.1)."""
    used = iter(path)
    try:
        found = _climb(index, size, leaf, used)
    except StopIteration:
        return None
    return found if next(used, None) is None else None


def _climb(index: int, size: int, leaf: bytes, path: Iterator[bytes]) -> bytes:
    if size <= 1:
        return leaf
    half = 1
    while half * 2 < size:
        half *= 2
    if index < half:
        below = _climb(index, half, leaf, path)
        return sha256(b"\x01" + below + next(path)).digest()
    below = _climb(index - half, size - half, leaf, path)
    return sha256(b"\x01" + next(path) + below).digest()


def tile_name(level: int | str, index: int, width: int) -> str:
    """Return the path of a tile (`level` a number) or an entry bundle (`level` is "entries")."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03d}")
    return f"tile/{level}/" + "/".join(parts) + (f".p/{width}" if width < WIDTH else "")
