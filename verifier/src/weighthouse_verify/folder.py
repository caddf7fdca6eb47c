"""The check of a whole exported log. Guards against any change of it, and names the first place that is wrong.

Everything is recomputed from the entry bundles upwards. Where what is computed and what is stored differ, the tile
above (and at the right edge the signed root) tells which of the two is true, so that one edit is blamed on one place.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from weighthouse_verify import leaf as leaves
from weighthouse_verify.doubt import MARK, Doubts
from weighthouse_verify.reading import MAX_BUNDLE, MAX_TILE, read_plain
from weighthouse_verify.tree import HASH, WIDTH, edge_root, root, tile_name

_TILE = WIDTH * HASH
MAX_PROBLEMS = 100


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong: the first entry concerned (-1 for a checkpoint), the file or thing, and what is wrong."""

    index: int
    where: str
    what: str


def hash_bundle(data: bytes, width: int) -> tuple[bytes, str | None]:
    """Return the joined leaf hashes of an entry bundle, as many as it holds, and what is wrong with its framing."""
    # The low length byte is set to zero in a copy: with the entry after it, it is just what RFC 6962 has hashed.
    buffer = bytearray(data)
    view = memoryview(buffer)
    found: list[bytes] = []
    at, end = 0, len(buffer)
    append, digest = found.append, sha256
    while at + 2 <= end and len(found) < width:
        first = at + 1
        at += 2 + (buffer[at] << 8 | buffer[first])
        if at > end:
            break
        buffer[first] = 0
        append(digest(view[first:at]).digest())
    wrong = None
    if len(found) < width:
        wrong = f"it holds {len(found)} whole entries where {width} belong"
    elif at != end:
        wrong = f"it holds more than its {width} entries"
    return b"".join(found), wrong


def split_bundle(data: bytes) -> Iterator[bytes]:
    """Yield the entries of a well-framed bundle."""
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


class FolderCheck:
    """One pass over a log folder. `sizes` are earlier sizes whose roots are wanted besides the whole log's."""

    def __init__(
        self, folder: Path, size: int, top: bytes, *, strict: bool = False, sizes: tuple[int, ...] = ()
    ) -> None:
        self._folder, self._size, self._top, self._strict = folder, size, top, strict
        self._wanted = {earlier >> 8 for earlier in sizes}
        self._kept: dict[int, bytes] = {}
        self._known: list[bytes] = [b""]
        self._tails: list[tuple[bytes, bytes]] = []
        self._blamed: set[tuple[int, int]] = set()
        self._found: list[Problem] = []
        self._doubts = Doubts()

    def run(self) -> list[Problem]:
        """Check everything; return the problems in the order of their place in the log, at most 100.

        The work is bounded by the files that are there, never by the size that a checkpoint claims.
        """
        if not self._plausible():
            return self._found
        levels = [level for level in range(9) if self._size >> 8 * level]
        stored = {level: self._stored(level) for level in levels if level}
        computed = b""
        for level in levels:
            computed = self._level(level, computed, stored.get(level, []), stored.get(level + 1, []))
        self._edge()
        for index, hold in self._doubts.standing():
            what = (
                f"the log says that it is in doubt, and nobody has lifted hold {hold}: it may not be the whole truth"
            )
            self._problem(index, f"entry {index}", what)
        return sorted(self._found)[:MAX_PROBLEMS]

    def _plausible(self) -> bool:
        """Return whether the folder can hold what the checkpoint speaks of; if not, say where its entries end."""
        needed = -(-self._size // WIDTH)
        files = sum(len(names) for _, _, names in os.walk(self._folder / "tile" / "entries"))
        if needed <= files + MAX_PROBLEMS:
            return True
        # One of the first `files` + 1 names must be missing, unless links make one file stand for many.
        for index, width in itertools.islice(self._widths(0), files + 1):
            name = tile_name("entries", index, width)
            if not (self._folder / name).exists():
                what = (
                    f"the file is missing: {files} entry bundles are there, {needed} belong to {self._size} entries"
                )
                self._problem(index * WIDTH, name, what)
                return False
        self._problem(-1, "tile/entries", f"it holds links: {files} files cannot be {needed} entry bundles")
        return False

    def root_at(self, size: int) -> bytes | None:
        """Return the root of the first `size` entries, a size asked for; None if `run` did not get there."""
        if not self._tails and self._size:
            return None
        tails = []
        for level in range(len(self._known)):
            start, end = size >> 8 * (level + 1) << 8, size >> 8 * level
            if level:
                tails.append(self._known[level][start * HASH : end * HASH])
            else:
                tails.append(self._kept.get(size >> 8, b"")[: (end - start) * HASH])
        return edge_root(tails)

    def _widths(self, level: int) -> Iterator[tuple[int, int]]:
        full, rest = divmod(self._size >> 8 * level, WIDTH)
        yield from ((index, WIDTH) for index in range(full))
        if rest:
            yield full, rest

    def _read(self, name: str, index: int, limit: int) -> bytes | None:
        try:
            return read_plain(self._folder / name, limit)
        except OSError as error:
            self._problem(index, name, f"the file is missing or cannot be read ({error.strerror})")
            return None

    def _problem(self, index: int, where: str, what: str) -> None:
        self._found.append(Problem(index, where, what))

    def _tile(self, level: int, index: int, width: int) -> bytes:
        name, first = tile_name(level, index, width), index << 8 * (level + 1)
        data = self._read(name, first, MAX_TILE)
        if data is not None and len(data) != width * HASH:
            self._problem(first, name, f"it has {len(data)} bytes where {width * HASH} belong")
        return (data or b"")[: width * HASH]

    def _stored(self, level: int) -> list[bytes]:
        return [self._tile(level, index, width) for index, width in self._widths(level)]

    def _level(self, level: int, computed: bytes, stored: list[bytes], parents: list[bytes]) -> bytes:
        """Check every tile of a level against what is computed from below; return the computed level above."""
        above: list[bytes] = []
        trusted: list[bytes] = []
        self._tails.append((b"", b""))
        for index, width in self._widths(level):
            if level:
                mine, theirs = computed[index * _TILE : index * _TILE + width * HASH], stored[index]
            else:
                mine, theirs = self._bundle(index, width), self._tile(0, index, width)
            if len(mine) != len(theirs):
                # What is missing was named when it was read; the rest is judged by what there is.
                mine, theirs = mine + theirs[len(mine) :], theirs + mine[len(theirs) :]
            if width < WIDTH:
                self._tails[level] = (mine, theirs)
            elif mine != theirs:
                start = index % WIDTH * HASH
                parent = parents[index // WIDTH][start : start + HASH]
                mine = self._settle(level, index, mine, theirs, parent)
            if width == WIDTH:
                above.append(root(mine))
            if level:
                trusted.append(mine)
            elif index in self._wanted:
                self._kept[index] = mine
        if level:
            self._known.append(b"".join(trusted))
        return b"".join(above)

    def _bundle(self, index: int, width: int) -> bytes:
        name, first = tile_name("entries", index, width), index * WIDTH
        data = self._read(name, first, MAX_BUNDLE)
        if data is None:
            return b""
        if MARK in data:
            self._doubts.note(first, split_bundle(data))
        hashes, wrong = hash_bundle(data, width)
        if wrong is not None:
            self._problem(first + min(len(hashes) // HASH, width - 1), name, wrong)
        elif self._strict:
            for offset, entry in enumerate(split_bundle(data)):
                defect = leaves.defect(entry)
                if defect:
                    self._problem(first + offset, f"entry {first + offset}", defect)
        return hashes

    def _settle(self, level: int, index: int, mine: bytes, theirs: bytes, parent: bytes) -> bytes:
        """Decide by the hash above which of two readings of a full tile is true, and blame the other."""
        if root(theirs) == parent:
            self._blame_below(level, index, mine, theirs)
            return theirs
        if root(mine) == parent:
            self._blame_tile(level, index, WIDTH, mine, theirs)
        else:
            self._blame_both(level, index, WIDTH, mine, theirs)
        return mine

    def _edge(self) -> None:
        """Decide by the signed root which readings of the unfinished tiles are true."""
        open_levels = [level for level, (mine, theirs) in enumerate(self._tails) if mine != theirs]
        for choice in itertools.product((1, 0), repeat=len(open_levels)):
            chosen = dict(zip(open_levels, choice, strict=True))
            if edge_root([pair[chosen.get(level, 0)] for level, pair in enumerate(self._tails)]) == self._top:
                for level in open_levels:
                    mine, theirs = self._tails[level]
                    index = self._size >> 8 * (level + 1)
                    if chosen[level]:
                        self._blame_below(level, index, mine, theirs)
                    else:
                        self._blame_tile(level, index, len(mine) // HASH, mine, theirs)
                return
        for level in open_levels:
            mine, theirs = self._tails[level]
            self._blame_both(level, self._size >> 8 * (level + 1), len(mine) // HASH, mine, theirs)
        if not self._found:
            self._problem(-1, "checkpoint", f"the {self._size} entries and tiles agree, but not with its root hash")

    def _blame_below(self, level: int, index: int, mine: bytes, theirs: bytes) -> None:
        for offset in _different(mine, theirs):
            place = index * WIDTH + offset
            if level == 0:
                self._problem(place, f"entry {place}", "it is not the entry that the tree holds at this index")
            elif (level - 1, place) not in self._blamed:
                self._blamed.add((level - 1, place))
                name = tile_name(level - 1, place, WIDTH)
                self._problem(place << 8 * level, name, "it does not hash to its place in the tile above")

    def _blame_tile(self, level: int, index: int, width: int, mine: bytes, theirs: bytes) -> None:
        self._blamed.add((level, index))
        first = next(_different(mine, theirs))
        place = index * WIDTH + first << 8 * level
        self._problem(place, tile_name(level, index, width), f"hash {first} in it is not that of what is below")

    def _blame_both(self, level: int, index: int, width: int, mine: bytes, theirs: bytes) -> None:
        self._blamed.add((level, index))
        first = next(_different(mine, theirs))
        place = index * WIDTH + first << 8 * level
        name = tile_name(level, index, width)
        self._problem(place, name, f"it and what is below it differ at hash {first}, and neither fits what is above")


def _different(mine: bytes, theirs: bytes) -> Iterator[int]:
    for offset in range(0, len(mine), HASH):
        if mine[offset : offset + HASH] != theirs[offset : offset + HASH]:
            yield offset // HASH
