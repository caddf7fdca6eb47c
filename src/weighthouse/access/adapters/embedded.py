"""The refusals of one machine: an append-only file of JSON lines beside the database, flushed before a call returns.

Guards ends, holds and separations from whoever can write the database. Several processes on the machine share the
file: each reads what the others appended. It does not guard against whoever can write this file, the operator of the
host.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from weighthouse.access.model import Apart, Hold, HoldCall, Look, Owed
from weighthouse.core import durable
from weighthouse.core.clock import since_start
from weighthouse.core.errors import Unavailable


def _beside(owed: Owed | None) -> dict[str, Any]:
    return {} if owed is None else {"owed": msgspec.to_builtins(owed)}


class FileRefusals:
    """Keeps one JSON object a line: `{"close": [ids]}`, `{"place": hold}`, `{"lift": id}`,
    `{"look": [id, person, account, session, at]}`, `{"apart": held}`, `{"call": call}`, `{"learnt": place}`. A no may
    have `owed` beside it, the line that the log must have, and a `close` may have `settled`, the ids of which it has
    it; who reads older lines passes both over. A torn last line was never acknowledged and is cut off by the next
    append."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._read_to = 0
        self._closed: set[str] = set()
        self._holds: dict[str, Hold] = {}
        self._lifted: set[str] = set()
        self._standing: tuple[Hold, ...] = ()
        self._looked: dict[str, frozenset[Look]] = {}
        self._apart: dict[str, dict[str, Apart]] = {}
        self._given: dict[str, Apart] = {}
        self._owed: dict[str, Owed] = {}
        self._calls: dict[str, tuple[HoldCall, ...]] = {}
        self._answered: dict[str, int] = {}
        self._learnt = 0
        self._doubt_at: float | None = None
        self._stopping = threading.local()

    def learnt(self) -> int:
        self._catch_up()
        return self._learnt

    def learnt_to(self, place: int) -> None:
        self._append({"learnt": place})

    def close(self, ids: Sequence[str], owed: Owed | None = None) -> None:
        self._catch_up()
        if not self._closed.issuperset(ids):
            self._append({"close": list(ids), **_beside(owed)})

    def closed(self, id_: str) -> bool:
        self._answer()
        return id_ in self._closed

    def place(self, hold: Hold, owed: Owed | None = None) -> None:
        self._append({"place": msgspec.to_builtins(hold), **_beside(owed)})

    def owed(self) -> tuple[Owed, ...]:
        self._catch_up()
        with self._lock:
            return tuple(self._owed.values())

    def settled(self, ids: Sequence[str]) -> None:
        self._append({"close": [], "settled": list(ids)})

    def lift(self, hold_id: str) -> None:
        self._append({"lift": hold_id})

    def holds(self) -> tuple[Hold, ...]:
        self._answer()
        return self._standing

    def hold(self, hold_id: str) -> Hold | None:
        self._catch_up()
        return self._holds.get(hold_id)

    def lifted(self, hold_id: str) -> bool:
        self._catch_up()
        return hold_id in self._lifted

    def look(self, hold_id: str, look: Look) -> None:
        self._append({"look": [hold_id, look.person, look.account, look.session, look.at]})

    def looked(self, hold_id: str) -> frozenset[Look]:
        self._catch_up()
        return self._looked.get(hold_id, frozenset())

    def call(self, call: HoldCall, owed: Owed | None = None) -> None:
        self._append({"call": msgspec.to_builtins(msgspec.structs.replace(call, reason="")), **_beside(owed)})

    def calls(self, model: str) -> tuple[HoldCall, ...]:
        self._answer()
        return self._calls.get(model, ())

    def answered(self, model: str) -> int:
        self._answer()
        return self._answered.get(model, 0)

    def keep_apart(self, held: Apart) -> None:
        self._append({"apart": msgspec.to_builtins(held)})

    def held_apart(self, person: str) -> tuple[Apart, ...]:
        self._answer()
        with self._lock:
            return tuple(self._apart.get(person, {}).values())

    def given(self, grant: str) -> Apart | None:
        self._catch_up()
        return self._given.get(grant)

    def placed(self, hold_id: str) -> bool:
        self._catch_up()
        return hold_id in self._holds or hold_id in self._lifted

    def doubt_after(self, seconds: float, since: float | None = None) -> None:
        self._doubt_at = (since_start() if since is None else since) + seconds

    @contextmanager
    def stopping(self) -> Iterator[None]:
        before, self._stopping.on = getattr(self._stopping, "on", False), True
        try:
            yield
        finally:
            self._stopping.on = before

    def _answer(self) -> None:
        """Get ready to answer; refuse where other servers may have refused what is not known here."""
        doubtful = self._doubt_at is not None and since_start() > self._doubt_at
        if doubtful and not getattr(self._stopping, "on", False):
            raise Unavailable(
                "access.refusals_behind",
                "This server could not read the log for a while, so it does not know what was refused since.",
                "Try again; an operator finds in this server's own log why it cannot read the lab's.",
            )
        self._catch_up()

    def _append(self, line: dict[str, Any]) -> None:
        with self._lock, durable.told(self._path):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                self._read(handle)
                durable.append(handle, msgspec.json.encode(line) + b"\n")
                self._read(handle)
            finally:
                os.close(handle)

    def _catch_up(self) -> None:
        """Read what has been appended since; one `stat` when nothing has."""
        if self._size() == self._read_to:
            return
        with self._lock:
            try:
                handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._broken("has become shorter")
            try:
                fcntl.flock(handle, fcntl.LOCK_SH)  # a line that its writer still takes back is never read
                self._read(handle)
            finally:
                os.close(handle)

    def _read(self, handle: int) -> None:
        """Take in what follows the place read to; the caller holds both locks."""
        size = os.fstat(handle).st_size
        if size < self._read_to:
            self._broken("has become shorter")
        fresh = os.pread(handle, size - self._read_to, self._read_to)
        whole = fresh[: fresh.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._apply(line)
        if b"\0" in fresh[len(whole) :]:
            self._broken("ends in what no server has written")
        self._read_to += len(whole)
        self._standing = tuple(self._holds.values())

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _apply(self, line: bytes) -> None:
        try:
            said = msgspec.json.decode(line)
            match said:
                case {"close": list(ids)}:
                    self._closed.update(str(id_) for id_ in ids)
                case {"place": dict(hold)}:
                    placed = msgspec.convert(hold, Hold)
                    self._holds[placed.id] = placed
                    if placed.kind == "governance":  # it answers the calls of before
                        self._answered[placed.subject] = max(placed.at, self._answered.get(placed.subject, 0))
                        self._calls[placed.subject] = tuple(
                            one for one in self._calls.get(placed.subject, ()) if one.at > placed.at
                        )
                case {"call": dict(call)}:
                    made = msgspec.convert(call, HoldCall)
                    self._calls[made.model] = (*self._calls.get(made.model, ()), made)
                case {"lift": str(hold_id)}:
                    self._holds.pop(hold_id, None)
                    self._lifted.add(hold_id)
                case {"look": [str(hold_id), str(person), str(account), *rest]}:  # `rest` is newer
                    session, at = msgspec.convert(rest or ["", 0], tuple[str, int])
                    look = Look(person=person, account=account, session=session, at=at)
                    self._looked[hold_id] = self._looked.get(hold_id, frozenset()) | {look}
                case {"learnt": int(place)}:
                    self._learnt = place
                case {"apart": dict(held)}:
                    kept = msgspec.convert(held, Apart)
                    self._apart.setdefault(kept.person, {})[kept.grant] = self._given[kept.grant] = kept
                case _:
                    self._broken("holds a line of unknown form")
            if "owed" in said:
                owed = msgspec.convert(said["owed"], Owed)
                self._owed[owed.id] = owed
            for id_ in said.get("settled", ()):
                self._owed.pop(str(id_), None)
        except msgspec.MsgspecError:
            self._broken("holds a line that cannot be read")

    def _broken(self, what: str) -> NoReturn:
        raise Unavailable(
            "access.memory_broken",
            f"The memory of ends and holds {self._path.name} {what}, so nothing can be released.",
            "Restore the file from a backup of the state folder; never shorten or edit it.",
        )
