"""A whole checkpoint on disk with its tickets, made by the SDK's own public functions, for tests to attack.

It plays the control plane's side (data keys, sealing, memory of the digest) in ten lines and keeps every secret, so
that an attack may be as strong as a reader who holds the data keys.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse_sdk import checkpoint, manifest
from weighthouse_sdk.checkpoint_binding import Recipient, bindings, seal_key


def arrays(seed: int = 1, big: int = 700_001) -> dict[str, Any]:
    """Tensors of several dtypes, a scalar, an empty one, and some that straddle segment borders."""
    random = numpy.random.default_rng(seed)
    return {
        "embed.weight": random.standard_normal((big // 7, 7)).astype("float32"),
        "block.0.attn": random.standard_normal((256, 1031)).astype("float64"),
        "block.0.bias": random.integers(0, 255, 17).astype("uint8"),
        "step": numpy.array(12345, dtype="int64"),
        "nothing": numpy.zeros((0, 4), dtype="float16"),
        "mask": random.integers(0, 2, (3, 5)).astype("bool"),
    }


@dataclass
class Vault:
    folder: Path
    model: str = "model/tern"
    version: str = "ver_one"
    save_id: str = "sav_one"
    tenant: str = "lab"
    parent: tuple[str, str] | None = None
    tensors: dict[str, Any] = field(default_factory=arrays)
    signer: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    recipient: Recipient = field(default_factory=Recipient)

    def __post_init__(self) -> None:
        self.plan = checkpoint.plan_shards(self.tensors, 1_500_000)
        self.names = tuple(os.urandom(16).hex() for _ in range(len(self.plan) + 1))
        self.keys = [os.urandom(32) for _ in self.names]
        self.envelope = b""

    def _listed(self, recipient: Recipient) -> list[dict[str, str]]:
        places = bindings(self.tenant, self.model, self.version, self.save_id, self.names)
        sealed = [seal_key(key, recipient.public, place.aad()) for key, place in zip(self.keys, places, strict=True)]
        return [
            {"shard": name, "sealed": base64.b64encode(box).decode()}
            for name, box in zip(self.names, sealed, strict=True)
        ]

    def save_ticket(self) -> checkpoint.SaveTicket:
        parent = {"version": self.parent[0], "digest": self.parent[1]} if self.parent else None
        common = {"save": self.save_id, "version": self.version, "tenant": self.tenant, "model": self.model}
        return checkpoint.parse_save({**common, "parent": parent, "keys": self._listed(self.recipient)})

    def save(self, **options: Any) -> Vault:
        self.envelope = checkpoint.save(
            self.tensors, self.save_ticket(), self.recipient, self.signer, self.folder, plan=self.plan, **options
        )
        return self

    def manifest(self) -> manifest.Manifest:
        return manifest.open_envelope(self.envelope, self.signer.public_key().public_bytes_raw())

    def document(self, **changes: Any) -> dict[str, Any]:
        return {
            "version": self.version,
            "tenant": self.tenant,
            "model": self.model,
            "save": self.save_id,
            "digest": self.manifest().digest(),
            "manifest": self.envelope.decode(),
            "signer": base64.b64encode(self.signer.public_key().public_bytes_raw()).decode(),
            "lease": "lse_one",
            "lease_until": 60_000,
            "now": 0,
            "verify": "tags",
            "keys": self._listed(self.recipient),
            **changes,
        }

    def load(self, **options: Any) -> Any:
        return checkpoint.load(checkpoint.parse_load(self.document()), self.recipient, self.folder, **options)

    def describe(self) -> checkpoint.Described:
        return checkpoint.describe(checkpoint.parse_load(self.document()), self.recipient, self.folder)

    def shard(self, number: int, ending: str = ".floe") -> Path:
        return self.folder / "shards" / (self.names[number] + ending)
