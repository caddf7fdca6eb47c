"""Where the plaintext of one file lies in memory: an ordered list of spans, each a place in the file and a buffer.

Guards callers' buffers: a span is written only inside its own bounds, spans never overlap, and a segment that
straddles two of them goes through a private scratch buffer. With large tensors nearly every segment lies in one
span and is encrypted or decrypted in place, without a copy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from .errors import FloeError


class Spans:
    """Non-overlapping (offset in the plaintext, buffer) pairs, in order of offset. Gaps are allowed when reading."""

    __slots__ = ("_offsets", "_views", "end")

    def __init__(self, pairs: Iterable[tuple[int, memoryview]]) -> None:
        ordered = sorted(((offset, view) for offset, view in pairs if len(view)), key=lambda pair: pair[0])
        self._offsets = [offset for offset, _ in ordered]
        self._views = [view for _, view in ordered]
        self.end = 0
        for offset, view in ordered:
            if offset < self.end or view.itemsize != 1:
                raise FloeError(
                    "floe.use", "Two spans overlap, or one is not made of bytes.", "Give each place once."
                )
            self.end = offset + len(view)

    def gapless(self) -> bool:
        """Whether the spans cover every byte from 0 to `end`, as writing a file needs."""
        return sum(map(len, self._views)) == self.end

    def whole(self, start: int, end: int) -> memoryview | None:
        """The one buffer that holds all of [start, end), or None."""
        at = bisect_right(self._offsets, start) - 1
        if at < 0:
            return None
        begin = start - self._offsets[at]
        view = self._views[at]
        return view[begin : begin + end - start] if begin + end - start <= len(view) else None

    def parts(self, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """The pieces of buffers inside [start, end), each with its offset from `start`."""
        at = max(0, bisect_right(self._offsets, start) - 1)
        while at < len(self._offsets) and self._offsets[at] < end:
            offset, view = self._offsets[at], self._views[at]
            low, high = max(start, offset), min(end, offset + len(view))
            if low < high:
                yield low - start, view[low - offset : high - offset]
            at += 1

    def segments(self, size: int) -> list[int]:
        """The numbers of the segments of `size` plaintext bytes that hold any byte of a span."""
        found: list[int] = []
        for offset, view in zip(self._offsets, self._views, strict=True):
            first = offset // size
            if found and found[-1] == first:
                first += 1
            found.extend(range(first, (offset + len(view) - 1) // size + 1))
        return found

    def wipe(self) -> None:
        """Overwrite every span with zeros, so that a refused load leaves nothing half-read."""
        for view in self._views:
            for low in range(0, len(view), 1 << 20):
                part = view[low : low + (1 << 20)]
                part[:] = bytes(len(part))
