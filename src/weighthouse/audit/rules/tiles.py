"""Tiles of the tree in C2SP tlog-tiles form, and the right edge where it grows. Guards the tree's stored shape.

A tile holds up to 256 consecutive hashes of one level; level L + 1 holds only the roots of full tiles of level L. The
edge is everything needed to append: it is validated against a signed checkpoint before it is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from weighthouse.audit.rules.tree import HASH_BYTES, NodeReader, node_hash, root_of

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_BYTES
MAX_ENTRY_BYTES = 65_535

# (level, index) -> the bytes of that tile, as wide as it is stored.
TileReader = Callable[[int, int], bytes]


def index_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of tile number `index`: 1234067 is `x001/x234/067`, a partial one ends in `.p/<width>`."""
    digits = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        digits = f"x{index % 1000:03d}/{digits}"
    return digits if width == TILE_WIDTH else f"{digits}.p/{width}"


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a hash tile below the log's folder."""
    return f"tile/{level}/{index_path(index, width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of an entry bundle below the log's folder."""
    return f"tile/entries/{index_path(index, width)}"


def tile_widths(size: int, level: int) -> Iterator[tuple[int, int]]:
    """Yield (index, width) of every tile of `level` in a tree of `size` leaves; the last may be partial."""
    full, rest = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
    for index in range(full):
        yield index, TILE_WIDTH
    if rest:
        yield full, rest


def levels(size: int) -> int:
    """Return how many tile levels a tree of `size` leaves has."""
    count = 0
    while size >> (TILE_HEIGHT * count):
        count += 1
    return count


def hashes_in(tile: bytes) -> list[bytes]:
    """Split the bytes of a tile into its hashes."""
    return [tile[i : i + HASH_BYTES] for i in range(0, len(tile), HASH_BYTES)]


def pack_bundle(leaves: Iterable[bytes]) -> bytes:
    """Return the entry bundle of `leaves`: each with its length as a big-endian uint16 before it."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def node_from_tiles(read_tile: TileReader) -> NodeReader:
    """Return a reader of complete subtrees that takes their hashes out of tiles."""

    def node(height: int, index: int) -> bytes:
        level, inner = divmod(height, TILE_HEIGHT)
        first = index << inner
        tile = read_tile(level, first // TILE_WIDTH)
        start = first % TILE_WIDTH * HASH_BYTES
        part = tile[start : start + (HASH_BYTES << inner)]
        if len(part) != HASH_BYTES << inner:
            raise ValueError(f"tile {tile_path(level, first // TILE_WIDTH)} is too short")
        return root_of(hashes_in(part))

    return node


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: enough to append without reading anything else.

    `peaks` are the roots of the complete subtrees of the size's binary form, largest first; `tails` are the bytes of
    the unfinished tile of each level (empty where the last tile is full).
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()
    tails: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """Return the Merkle tree hash of the whole tree."""
        if not self.peaks:
            return root_of(())
        folded = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            folded = node_hash(peak, folded)
        return folded


@dataclass(frozen=True, slots=True)
class Growth:
    """What appending changed: the new edge, and every tile that was begun, widened or completed."""

    edge: Edge
    tiles: dict[tuple[int, int], bytes]


def grow(edge: Edge, hashes: Iterable[bytes]) -> Growth:
    """Append leaf hashes to `edge`."""
    peaks, tails, size = list(edge.peaks), list(edge.tails), edge.size
    done: dict[tuple[int, int], bytes] = {}
    touched: set[tuple[int, int]] = set()

    def push(level: int, position: int, value: bytes) -> None:
        if level == len(tails):
            tails.append(b"")
        place = (level, position // TILE_WIDTH)
        tails[level] += value
        touched.add(place)
        if len(tails[level]) == TILE_BYTES:
            done[place], tails[level] = tails[level], b""
            touched.discard(place)

    for leaf in hashes:
        push(0, size, leaf)
        node, height, position = leaf, 0, size
        while position & 1:
            node = node_hash(peaks.pop(), node)
            height, position = height + 1, position >> 1
            if height % TILE_HEIGHT == 0:
                push(height // TILE_HEIGHT, position, node)
        peaks.append(node)
        size += 1
    for level, index in touched:
        done[level, index] = tails[level]
    return Growth(Edge(size, tuple(peaks), tuple(tails)), done)


def edge_from_tiles(size: int, read_tile: TileReader) -> Edge:
    """Rebuild the edge of a tree of `size` leaves from its stored tiles; the caller checks the root it gives."""
    node = node_from_tiles(read_tile)
    peaks = [node(h, (size >> h) - 1) for h in range(size.bit_length() - 1, -1, -1) if size >> h & 1]
    tails = []
    for level in range(levels(size)):
        index, width = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
        tails.append(read_tile(level, index)[: width * HASH_BYTES] if width else b"")
    return Edge(size, tuple(peaks), tuple(tails))
