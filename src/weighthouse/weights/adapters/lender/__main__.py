"""Runs the lender of one run: `python -I -m weighthouse.weights.adapters.lender CONTROL SOCKET WINDOW`, descriptors.

Guards the control plane from a stuck or hostile run, and the run from nobody: this process has no database, no way
out and no secret but the key that data keys are sealed to, which was made here and ends with it. It is told over one
pipe what may be lent, answers nobody before it was told who the run is, and ends when the pipe does.
"""

from __future__ import annotations

import base64
import ctypes
import mmap
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse.weights.adapters.lender.control import receive_order, send_answer
from weighthouse.weights.adapters.lender.loads import Loan
from weighthouse.weights.adapters.lender.peers import descends, peer
from weighthouse.weights.adapters.lender.saves import Place, Saving
from weighthouse.weights.adapters.lender.serving import Serving
from weighthouse_sdk import lending_frames as frames
from weighthouse_sdk.checkpoint_binding import Recipient
from weighthouse_sdk.checkpoint_tickets import parse_load, parse_save
from weighthouse_sdk.errors import CheckpointError, FloeError, SdkError

PR_SET_DUMPABLE = 4
LOOK_S = 0.5
MOST_SAVES = 64  # that were begun and not written yet; the oldest is forgotten


class Lender:
    """What may be lent at this moment, as the control plane has said."""

    def __init__(self) -> None:
        self._recipient, self._signer = Recipient(), Ed25519PrivateKey.generate()
        self._lock = threading.Lock()
        self._loans: dict[str, Loan] = {}
        self._saves: dict[str, Saving] = {}
        self._in = -1
        self._place = Place(-1, -1, -1)
        self.roots: frozenset[int] = frozenset()
        self.known = threading.Event()

    def greeting(self) -> dict[str, str]:
        """The two public keys by which the control plane gives keys to this process alone."""
        keys = (self._recipient.public, self._signer.public_key().public_bytes_raw())
        recipient, signer = (base64.b64encode(each).decode() for each in keys)
        return {"recipient": recipient, "signer": signer}

    def loan(self, lease: str) -> Loan | None:
        with self._lock:
            return self._loans.get(lease)

    def saving(self, save: str) -> Saving | None:
        with self._lock:
            return self._saves.get(save)

    def obey(self, order: dict[str, Any], files: list[int]) -> None:
        """Do what the control plane says."""
        acts: dict[str, Callable[[dict[str, Any], list[int]], None]] = {
            "in": self._inbox, "begin": self._begin, "load": self._load, "extend": self._extend, "end": self._end,
            "save": self._save,
        }  # fmt: skip
        acts[order["do"]](order, files)

    def _inbox(self, _: dict[str, Any], files: list[int]) -> None:
        (self._in,) = files

    def _begin(self, order: dict[str, Any], files: list[int]) -> None:
        self._place = Place(files[0] if files else -1, *order["owner"])
        self.roots = frozenset(order["roots"])
        self.known.set()

    def _load(self, order: dict[str, Any], _: list[int]) -> None:
        ticket = parse_load(order["ticket"])
        loan = Loan(ticket, self._recipient, self._shards(ticket.save), order["lasts"])
        with self._lock:
            self._loans[ticket.lease] = loan

    def _shards(self, save: str) -> int:
        """The folder of a version's shards: what this run saved lies in its volume, all else was given to it."""
        if self._place.out >= 0:
            try:
                own = os.open(
                    save, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._place.out
                )
            except OSError:
                pass
            else:
                try:
                    return open_folder_in(own)
                finally:
                    os.close(own)
        if self._in < 0:
            why = "The ciphertext of this version was not given to this run."
            raise CheckpointError("checkpoint.lent", why, "Submit the run with this version as its parent.")
        return open_folder_in(self._in)

    def _extend(self, order: dict[str, Any], _: list[int]) -> None:
        loan = self.loan(order["lease"])
        if loan is not None and not loan.over():
            loan.extend(order["lasts"])

    def _end(self, order: dict[str, Any], _: list[int]) -> None:
        with self._lock:
            loan = self._loans.pop(order["lease"], None)
        if loan is not None:
            loan.end()

    def _save(self, order: dict[str, Any], _: list[int]) -> None:
        ticket = parse_save(order["ticket"])
        saving = Saving(ticket, self._recipient, self._signer, lambda: self._place)
        with self._lock:
            while len(self._saves) >= MOST_SAVES:
                self._saves.pop(next(iter(self._saves))).fail()
            self._saves[ticket.save] = saving

    def tidy(self) -> None:
        """Let go of leases that have ended."""
        while True:
            time.sleep(LOOK_S)
            with self._lock:
                over = [lease for lease, loan in self._loans.items() if loan.over()]
                ended = [self._loans.pop(lease) for lease in over]
            for loan in ended:
                loan.end()

    def accept(self, listener: socket.socket, window: memoryview) -> None:
        """Answer the run's own processes; nobody before it is known which these are."""
        serving = Serving(window, self.loan, self.saving)
        self.known.wait()
        while True:
            way, _ = listener.accept()
            way.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, frames.SLOT)
            if descends(peer(way), self.roots):
                serving.take(way)
            else:
                way.close()


def open_folder_in(parent: int) -> int:
    """The folder `shards` below a descriptor, never through a link."""
    try:
        return os.open("shards", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        why = f"The folder of shards cannot be read: {error.strerror}."
        raise FloeError("floe.unreadable", why, "Leave the folder of a save to the lender.") from None


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    control, listener = (socket.socket(fileno=int(each)) for each in sys.argv[1:3])
    memory = mmap.mmap(int(sys.argv[3]), frames.WINDOW_BYTES)
    lender = Lender()
    send_answer(control, lender.greeting())
    for work in (lender.tidy, lambda: lender.accept(listener, memoryview(memory))):
        threading.Thread(target=work, daemon=True).start()
    while True:
        try:
            order, files = receive_order(control)
        except EOFError:
            os._exit(0)
        try:
            lender.obey(order, files)
            answer = {}
        except SdkError as error:
            answer = {"code": error.code, "message": error.message, "remedy": error.remedy}
        send_answer(control, answer)


if __name__ == "__main__":
    main()
