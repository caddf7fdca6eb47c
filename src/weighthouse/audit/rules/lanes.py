"""How far each chain of waiting rows has come. Guards the log from a row that vanishes between commit and sequencing.

Every transaction that writes lines takes a lane: a chain in which each row has the next number and a code over the
row before it. One lane is used by one transaction at a time, so its numbers have no gap unless somebody made one.

The lanes of a process carry its name. Its heartbeats have a lane of their own and so has its last word, so that the
sealed head says which servers there are, whatever the database shows of them.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit.model import Gap
from weighthouse.core.clock import DAY, Millis

KEPT: Millis = 30 * DAY
TOLD: Millis = 29 * DAY
_SERVING, _LEFT = ".serving", ".left"
"""How long a lane is remembered after its last row, and for how long its absence from memory says something.

Its process retires it long before; but that process may have died with a line that nobody has missed yet.
"""


class Reached(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a lane that is in the log: its number, its code in hex, and when it was taken."""

    number: int
    code: str
    at: Millis


class Progress(msgspec.Struct, kw_only=True):
    """What the sealed head says of all lanes, and how many rows were found missing and not yet accepted as lost."""

    lost: int = 0
    lanes: dict[str, Reached] = {}

    def reached(self, lane: str) -> int:
        """Return the number of the last row of `lane` that is in the log, 0 before the first."""
        found = self.lanes.get(lane)
        return found.number if found else 0

    def serving(self) -> set[str]:
        """Return the processes whose heartbeats are in the log and whose last word is not."""
        said = {writer for lane in self.lanes if (writer := serves(lane))}
        return {writer for writer in said if left(writer) not in self.lanes}

    def has_left(self, writer: str) -> bool:
        """Whether the last word of this process is in the log."""
        return left(writer) in self.lanes

    def forget_servers(self) -> None:
        """Wait for no process whose heartbeats are known."""
        self.lanes = {lane: reached for lane, reached in self.lanes.items() if not serves(lane)}

    def text(self, now: Millis) -> str:
        """Return what the head keeps; lanes that nobody uses any more are forgotten."""
        kept = {name: self.lanes[name] for name in sorted(self.lanes) if self.lanes[name].at > now - KEPT}
        return msgspec.json.encode(Progress(lost=self.lost, lanes=kept)).decode()


def serving(writer: str) -> str:
    """Return the lane of the heartbeats of this process."""
    return writer + _SERVING


def left(writer: str) -> str:
    """Return the lane of the last word of this process."""
    return writer + _LEFT


def is_common(lane: str) -> bool:
    """Whether any transaction of its process may take this lane."""
    return lane.rpartition(".")[2].isdigit()


def serves(lane: str) -> str:
    """Return the process whose heartbeats go through this lane, "" if it is another lane."""
    return lane.removesuffix(_SERVING) if lane.endswith(_SERVING) else ""


def progress(text: str) -> Progress:
    """Read what a head keeps; raise ValueError if it is nothing that was ever kept."""
    return msgspec.json.decode(text, type=Progress) if text else Progress()


def follow(known: Progress, lane: str, number: int, prev: bytes, code: bytes, now: Millis) -> Gap | bool | None:
    """Move `lane` on by one genuine row. Return None if it is the next one, a gap if rows before it are missing, and
    False, changing nothing, if a row with its number was taken before."""
    last = known.lanes.get(lane, Reached(0, "", now))
    if number <= last.number:
        return False
    known.lanes[lane] = Reached(number, code.hex(), now)
    if number == last.number + 1 and prev.hex() == last.code:
        return None
    gap = Gap(lane, min(last.number + 1, number - 1) or 1, max(number - 1, 1))
    known.lost += gap.last - gap.first + 1
    return gap


def missing(lane: str, acknowledged: int, reached: int, waiting: tuple[int, int, int] | None) -> Gap | None:
    """Return what is missing of a lane whose rows up to `acknowledged` were committed.

    `waiting` are the smallest and largest number and the count of its rows that wait.
    """
    if acknowledged <= reached:
        return None
    if waiting is None:
        return Gap(lane, reached + 1, acknowledged)
    least, most, count = waiting
    if least <= reached + 1 and count == most - least + 1 and most >= acknowledged:
        return None
    return Gap(lane, reached + 1, acknowledged)
