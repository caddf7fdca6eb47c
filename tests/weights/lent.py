"""A real lender for tests, and what a control plane would tell it. The run is this very process, or one in a sandbox."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from weighthouse.core import folders
from weighthouse.weights.adapters.lending import LenderProcesses
from weighthouse.weights.model import LoadTicket, SaveTicket, TicketKey
from weighthouse_sdk import manifest
from weighthouse_sdk.checkpoint_binding import Binding, bindings, seal_key
from weighthouse_sdk.lending import Lender

MODEL = "model/tern"


class Lent:
    """A lender, what a sandbox would be shown of it, and the data keys that it was given."""

    def __init__(self, folder: Path, out: Path, roots: Sequence[int] | None = ()) -> None:
        folder.mkdir(mode=0o700)
        self.process = LenderProcesses(folder).start(folder)
        self.held = [folders.hold(self.process.socket), folders.hold(self.process.window), os.open(out, folders.READ)]
        if roots is not None:
            self.begin(*roots)
        socket, window = (Path(f"/proc/self/fd/{each}") for each in self.held[:2])
        self.client = Lender(socket, window)
        self.keys: dict[str, bytes] = {}
        self.saves: dict[str, SaveTicket] = {}

    def begin(self, *roots: int) -> None:
        self.process.begin(roots or [os.getpid()], self.held[2], (os.geteuid(), os.getegid()))

    def begin_save(self, shards: int = 1) -> SaveTicket:
        """Begin a save as the registry does, with fresh keys sealed to the lender."""
        names = tuple(secrets.token_hex(16) for _ in range(shards + 1))
        save, version = f"sav_{secrets.token_hex(8)}", f"ver_{secrets.token_hex(8)}"
        places = bindings("lab", MODEL, version, save, names)
        ticket = SaveTicket(
            save=save, version=version, tenant="lab", model=MODEL, parent=None, prefix="", keys=self._sealed(places)
        )
        self.saves[save] = ticket
        self.process.write(ticket)
        return ticket

    def lend(self, ticket: SaveTicket, envelope: bytes, lasts_ms: int = 60_000, verify: str = "signed") -> LoadTicket:
        """Begin a load of what was saved, as the registry does after its commit."""
        listed = manifest.open_envelope(envelope, self.process.signer)
        places = tuple(listed.binding(shard) for shard in listed.shards)
        load = LoadTicket(
            version=ticket.version, tenant="lab", model=MODEL, save=ticket.save, digest=listed.digest(),
            manifest=envelope.decode(), signer=self.process.signer, lease=f"lse_{secrets.token_hex(8)}", now=0,
            lease_until=lasts_ms, verify=verify, prefix="", keys=self._sealed(places),
        )  # fmt: skip
        self.process.lend(load)
        return load

    def _sealed(self, places: Sequence[Binding]) -> tuple[TicketKey, ...]:
        for place in places:
            self.keys.setdefault(place.shard, secrets.token_bytes(32))
        return tuple(
            TicketKey(
                shard=place.shard,
                index=place.index,
                media=place.media,
                sealed=seal_key(self.keys[place.shard], self.process.recipient, place.aad()),
            )
            for place in places
        )

    def close(self) -> None:
        self.process.stop()
        for each in self.held:
            os.close(each)
