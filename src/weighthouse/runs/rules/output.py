"""From bytes as they come to lines that are kept. Guards the log from a flood and every letter from being cut in two.

A line ends where the workload ends it, at the longest length, or when it has waited for its end a moment: a prompt
is seen while it waits. Of a line that is drawn again and again with carriage returns, only the state of each moment
is kept, as a terminal would show it.
"""

from __future__ import annotations

import codecs
import re

LONGEST_LINE = 4096  # bytes of UTF-8
STILL_S = 0.5  # how long an unfinished line waits for its end before it is shown
_ENDS = re.compile(r"([\r\n])")


class Lines:
    """One stream of output. Each method returns the lines that are complete by then; `now` is in seconds."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._since = 0.0  # when the unfinished line began to wait
        self._redrawn = False  # a carriage return came last: the next letters begin the line again
        self._shown = False  # a part of this line was shown already

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take what was written."""
        found = []
        for piece in _ENDS.split(self._decoder.decode(data).replace("\x00", "�")):
            found += self._take(piece, now)
        return found + self.due(now)

    def due(self, now: float) -> list[str]:
        """Return the unfinished line once it has waited long enough."""
        if not self._text or now - self._since < STILL_S:
            return []
        line, self._text, self._shown = self._text, "", True
        return [line]

    def wait(self, now: float) -> float | None:
        """Return in how many seconds `due` has something to say; None when nothing is unfinished."""
        return max(0.0, self._since + STILL_S - now) if self._text else None

    def end(self) -> list[str]:
        """Return what is left when the stream has ended."""
        found = self._take(self._decoder.decode(b"", final=True), 0.0)
        return [*found, self._text] if self._text else found

    def _take(self, piece: str, now: float) -> list[str]:
        if piece == "\r":
            self._redrawn = True
            return []
        if piece == "\n":
            found = [self._text] if self._text or not self._shown else []
            self._text, self._redrawn, self._shown = "", False, False
            return found
        if not piece:
            return []
        if not self._text:
            self._since = now
        *whole, self._text = _cut(piece if self._redrawn else self._text + piece)
        self._redrawn = False
        return whole


def _cut(text: str) -> list[str]:
    """Return `text` in parts of at most LONGEST_LINE bytes, none of which begins or ends inside a letter."""
    parts, data = [], text.encode()
    while len(data) > LONGEST_LINE:
        at = LONGEST_LINE
        while data[at] & 0xC0 == 0x80:
            at -= 1
        parts.append(data[:at].decode())
        data = data[at:]
    return [*parts, data.decode()]
