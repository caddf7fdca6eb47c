"""A load and a save through a real lender, against those of a process that has the data keys, for `lent_load`."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.encrypted_setup import MIB, Checkpoint
from benchmarks.report import report
from weighthouse.weights.adapters.lending import LenderProcess, LenderProcesses
from weighthouse.weights.model import LoadTicket, SaveTicket, TicketKey
from weighthouse_sdk import checkpoint, lending
from weighthouse_sdk.checkpoint_binding import Binding, bindings, seal_key
from weighthouse_sdk.manifest import open_envelope

THREADS = 2
LEASE_MS = 3_600_000
Timed = Callable[[], object]


class Pair:
    """The same tensors in a process that has the keys, and beside a lender."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.own = Checkpoint(folder / "own", mib)
        (folder / "out").mkdir()
        (folder / "sockets").mkdir()
        self.process: LenderProcess = LenderProcesses().start(folder / "sockets")
        socket, window = (os.open(path, os.O_PATH) for path in (self.process.socket, self.process.window))
        self.process.begin([os.getpid()], os.open(folder / "out", os.O_RDONLY))
        self.client = lending.Lender(Path(f"/proc/self/fd/{socket}"), Path(f"/proc/self/fd/{window}"))
        self.plan = [list(self.own.tensors)]
        self.keys: dict[str, bytes] = {}
        self.saved = 0
        self.last: tuple[SaveTicket, bytes] = self.save()

    def save(self) -> tuple[SaveTicket, bytes]:
        """Save through the lender, as a run does."""
        self.saved += 1
        places = bindings("lab", "model/bench", f"ver_{self.saved}", f"sav_{self.saved}", _names(2))
        ticket = SaveTicket(
            save=places[0].save, version=places[0].version, tenant="lab", model="model/bench", parent=None, prefix="",
            keys=self._sealed(places),
        )  # fmt: skip
        self.process.write(ticket)
        blank = [{"shard": place.shard, "sealed": ""} for place in places]
        parsed = checkpoint.parse_save(
            {"save": ticket.save, "version": ticket.version, "tenant": "lab", "model": "model/bench", "keys": blank}
        )
        self.last = ticket, lending.save(self.client, self.own.tensors, parsed, plan=self.plan, threads=THREADS)
        return self.last

    def save_own(self) -> None:
        """Save as a process does that has the keys, files and all."""
        places = bindings("lab", "model/bench", "ver_own", "sav_own", _names(2))
        boxes = [seal_key(secrets.token_bytes(32), self.own.recipient.public, place.aad()) for place in places]
        keys = [
            {"shard": place.shard, "sealed": base64.b64encode(box).decode()}
            for place, box in zip(places, boxes, strict=True)
        ]
        ticket = checkpoint.parse_save(
            {"save": "sav_own", "version": "ver_own", "tenant": "lab", "model": "model/bench", "keys": keys}
        )
        folder = self.own.folder / f"saved_{secrets.token_hex(4)}"
        checkpoint.save(
            self.own.tensors, ticket, self.own.recipient, self.own.signer, folder, plan=self.plan, threads=THREADS
        )
        _empty(folder)

    def load(self) -> None:
        """Load the last save through the lender."""
        ticket, envelope = self.last
        listed = open_envelope(envelope, self.process.signer)
        lease = secrets.token_hex(8)
        load = LoadTicket(
            version=ticket.version, tenant="lab", model="model/bench", save=ticket.save, digest=listed.digest(),
            manifest=envelope.decode(), signer=self.process.signer, lease=lease, now=0, lease_until=LEASE_MS,
            verify="signed", prefix="", keys=self._sealed(tuple(listed.binding(shard) for shard in listed.shards)),
        )  # fmt: skip
        self.process.lend(load)
        with lending.LentReader(self.client, lease, listed, THREADS, None) as source:
            checkpoint.fill(source, into=dict(self.own.into), names=None, signed=True)
        self.process.end(lease)

    def seconds(self) -> float:
        """Processor time of both processes."""
        fields = Path(f"/proc/{self.process._process.pid}/stat").read_text().rpartition(")")[2].split()
        return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """What the lender held at most."""
        status = Path(f"/proc/{self.process._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10

    def _sealed(self, places: tuple[Binding, ...]) -> tuple[TicketKey, ...]:
        for place in places:
            self.keys.setdefault(place.shard, secrets.token_bytes(32))
        return tuple(
            TicketKey(
                shard=place.shard, index=place.index, media=place.media,
                sealed=seal_key(self.keys[place.shard], self.process.recipient, place.aad()),
            )
            for place in places
        )  # fmt: skip


def _names(count: int) -> tuple[str, ...]:
    return tuple(secrets.token_hex(16) for _ in range(count))


def _empty(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()


def measure(folder: Path, mib: int, rounds: int) -> list[bool]:
    """Print the ratios of the product; return which targets were met."""
    pair, best = Pair(folder, mib), dict[str, tuple[float, float]]()

    def lent_save() -> None:
        for path in (folder / "out").iterdir():
            _empty(path)
        pair.save()

    work: dict[str, Timed] = {
        "load, own keys": lambda: pair.own.load(threads=THREADS),
        "load, lent": pair.load,
        "save, own keys": pair.save_own,
        "save, lent": lent_save,
    }
    for number in range(rounds + 1):
        for name, run in work.items():
            wall, used = time.perf_counter(), pair.seconds()
            run()
            wall, used = time.perf_counter() - wall, pair.seconds() - used
            if number:
                kept = best.get(name, (wall, used))
                best[name] = min(kept[0], wall), min(kept[1], used)
    print(f"the product, {mib} MiB, {THREADS} threads, best of {rounds} rounds")
    for name, (wall, used) in best.items():
        print(f"  {name:16} {pair.own.size / wall / 1e9:6.2f} GB/s {used / pair.own.size * 1e9:6.3f} ns/byte")
    met = []
    for what in ("load", "save"):
        own, lent = best[f"{what}, own keys"], best[f"{what}, lent"]
        ratio = max(own[0] / lent[0], own[1] / lent[1])
        met.append(report(f"{what} through a lender / with the keys", ratio, ">=", 0.7, mib=mib, threads=THREADS))
    met.append(report("memory of a lender, window included, MiB", pair.memory() / MIB, "<=", 64.0, mib=mib))
    pair.process.stop()
    return met
