"""What a lender answers on its connections. Guards itself from hostile code: everything here is asked by a run.

A connection has a thread, two buffers and a place; there are few places, and who finds none waits in the socket's own
queue. Whatever a run sends is read by length, judged, and answered with a refusal that ends the connection. After a
load its slots of the window are overwritten.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from weighthouse.weights.adapters.lender.loads import Loan
from weighthouse.weights.adapters.lender.saves import Saving
from weighthouse_sdk import lending_frames as frames
from weighthouse_sdk.errors import CheckpointError, FormatError, SdkError
from weighthouse_sdk.floe_files import page_aligned
from weighthouse_sdk.formats import utf8

MOST_TALKS = 16
HELLO_S = 10
IDLE_S = 600  # a run that stands still between two segments
WAIT_S = 100
BUSY = "checkpoint.lender_busy"


class Serving:
    """Answers connections. `loan` and `saving` find what the control plane has given for a name."""

    def __init__(
        self, window: memoryview, loan: Callable[[str], Loan | None], saving: Callable[[str], Saving | None]
    ) -> None:
        self._window, self._loan, self._saving = window, loan, saving
        self._free = list(range(frames.CONNECTIONS))
        self._changed = threading.Condition()
        self._talks = threading.BoundedSemaphore(MOST_TALKS)
        self._scratch = threading.local()

    def take(self, way: socket.socket) -> None:
        """Serve one connection in a thread of its own; waits while there are too many."""
        self._talks.acquire()
        threading.Thread(target=self._talk, args=(way,), daemon=True).start()

    def _talk(self, way: socket.socket) -> None:
        try:
            with way:
                try:
                    self._serve(way)
                except SdkError as error:
                    frames.say(way, {"code": error.code, "message": error.message, "remedy": error.remedy})
        except (OSError, ValueError):
            pass  # the run has gone
        finally:
            self._talks.release()

    def _serve(self, way: socket.socket) -> None:
        way.settimeout(HELLO_S)
        purpose = _hello(way)
        way.settimeout(IDLE_S)
        if isinstance(purpose.get("load"), str):
            loan = self._loan(purpose["load"])
            if loan is None:
                raise CheckpointError("checkpoint.lease", "There is no such lease, or it has ended.", "Load again.")
            self._lend(way, loan, waits=purpose.get("waits") is True)
        elif isinstance(purpose.get("save"), str):
            saving = self._saving(purpose["save"])
            if saving is None:
                raise CheckpointError("checkpoint.lent", "There is no such save.", "Begin a new save.")
            self._write(way, saving, purpose.get("lengths"))
        else:
            raise CheckpointError("checkpoint.lent", "A lender lends or saves.", "Use the SDK as it is.")

    def _lend(self, way: socket.socket, loan: Loan, *, waits: bool) -> None:
        place = self._place(waits=waits)
        first = place * frames.SLOTS * frames.SLOT
        own = self._window[first : first + frames.SLOTS * frames.SLOT]
        ciphers: dict[object, Any] = {}
        scratch, at = page_aligned(frames.SLOT), 0
        try:
            frames.say(way, {"slot": place * frames.SLOTS})
            request = bytearray(frames.REQUEST.size)
            while frames.receive(way, memoryview(request)):
                number, position, signed = frames.REQUEST.unpack(request)
                slot = own[at * frames.SLOT : (at + 1) * frames.SLOT]
                length = loan.lend(ciphers, scratch, slot, (number, position, bool(signed)))
                way.sendall(frames.REPLY.pack(0, length))
                at = (at + 1) % frames.SLOTS
        finally:
            # The run has closed, or is about to hear why it is refused: what it has not copied, it has not loaded.
            own[:] = bytes(len(own))
            with self._changed:
                self._free.append(place)
                self._changed.notify()

    def _place(self, *, waits: bool) -> int:
        with self._changed:
            if not self._changed.wait_for(lambda: self._free, WAIT_S if waits else 0):
                why = "Every place of this run's window is taken by other loads of it."
                raise CheckpointError(BUSY, why, "Wait for them, or load one after the other.")
            return self._free.pop()

    def _write(self, way: socket.socket, saving: Saving, lengths: object) -> None:
        owner = lengths is not None
        done = False
        try:
            saving.begin(lengths if isinstance(lengths, list) else []) if owner else saving.check()
            frames.say(way, {})
            done = self._frames(way, saving)
        finally:
            if not done:
                saving.fail()

    def _frames(self, way: socket.socket, saving: Saving) -> bool:
        """Take frame after frame; return whether the run has said that there are no more."""
        plain, sealed = page_aligned(frames.SLOT), page_aligned(frames.SLOT)
        ciphers: dict[object, Any] = {}
        head = bytearray(frames.FRAME.size)
        while frames.receive(way, memoryview(head)):
            number, position, length = frames.FRAME.unpack(head)
            if number == frames.NOTHING_MORE:
                frames.say(way, {"envelope": saving.finish().decode()} if length else {})
                return True
            shard = saving.shard(number, position, length)
            try:
                whole = not length or frames.receive(way, plain[:length])
            except BaseException:
                saving.unused()
                raise
            if not whole:
                saving.unused()
                return False
            saving.seal(shard, ciphers, position, plain[:length], sealed)
        return False


def _hello(way: socket.socket) -> dict[str, Any]:
    """The line that a connection begins with."""
    line = b""
    while not line.endswith(b"\n"):
        # What follows the line belongs to what is asked next, so the line is read no further than its end.
        seen = way.recv(frames.LINE_BYTES, socket.MSG_PEEK)
        end = seen.find(b"\n") + 1
        part = way.recv(end or len(seen))
        line += part
        if not part or len(line) > frames.LINE_BYTES:
            raise CheckpointError(
                "checkpoint.lent", "The first line is missing or too long.", "Use the SDK as it is."
            )
    try:
        purpose = json.loads(utf8(line, "The first line"))
    except (ValueError, RecursionError, FormatError):
        purpose = None
    if not isinstance(purpose, dict):
        raise CheckpointError("checkpoint.lent", "The first line is no JSON object.", "Use the SDK as it is.")
    return purpose
