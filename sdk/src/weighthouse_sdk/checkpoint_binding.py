"""What a shard is bound to. Guards against a right file in a wrong place: path, model, version, tenant or save.

The binding is the associated data of the FLOE file, the context of the wrapped data key, and the info of the sealed
key. A reader builds it from its own request, never from the file, so a shard moved anywhere fails at its header tag.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from .errors import CheckpointError
from .formats import canonical, check_shard_id

FORMAT = "weighthouse/1"
ALGORITHM = 1  # FLOE GCM256_IV256_1M; an unknown number is an error, never a negotiation
SHARD_MEDIA = "application/vnd.safetensors"
INDEX_MEDIA = "application/vnd.weighthouse.index+json"
_INFO = b"weighthouse data key v1\x00"


@dataclass(frozen=True, slots=True)
class Binding:
    """The one place where a shard belongs. The encrypted index has `index == count`."""

    tenant: str
    model: str
    version: str
    save: str
    shard: str
    index: int
    count: int
    media: str

    def context(self) -> dict[str, Any]:
        """The binding as the document that is encoded, with format and algorithm id."""
        return {"format": FORMAT, "alg": ALGORITHM, **asdict(self)}

    def aad(self) -> bytes:
        """Canonical JSON (RFC 8785) of the context: the associated data of the shard's FLOE file."""
        return canonical(self.context())


def bindings(tenant: str, model: str, version: str, save: str, shards: tuple[str, ...]) -> tuple[Binding, ...]:
    """Bindings for a save: every id but the last names a data shard, the last one the encrypted index."""
    count = len(shards) - 1
    return tuple(
        Binding(tenant, model, version, save, check_shard_id(shard), at, count, media)
        for at, shard in enumerate(shards)
        for media in (SHARD_MEDIA if at < count else INDEX_MEDIA,)
    )


def suite() -> Suite:
    """HPKE base mode (RFC 9180): X25519, HKDF-SHA256, AES-256-GCM."""
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal_key(key: bytes, recipient: bytes, context: bytes) -> bytes:
    """Seal a data key to a raw X25519 public key, bound to `context`."""
    return suite().encrypt(key, X25519PublicKey.from_public_bytes(recipient), _INFO + context)


class Recipient:
    """An ephemeral key pair that data keys are sealed to. It never leaves this process and is never written."""

    def __init__(self, private: X25519PrivateKey | None = None) -> None:
        self._private = private or X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Open one sealed data key; a key sealed for another recipient or another place is refused."""
        try:
            return suite().decrypt(sealed, self._private, _INFO + context)
        except (InvalidTag, ValueError):
            why = "A data key of the ticket was sealed for another place or another recipient."
            raise CheckpointError("checkpoint.sealed_key", why, "Ask for a new ticket.") from None
