"""The signed list of a checkpoint: a DSSE envelope around an in-toto statement. Guards the set, not only the bytes.

A reader's key, another producer's key, another payload type, a changed byte, a second reading of a document: each
is refused. The payload is canonical JSON and is parsed by requiring that it encodes back to itself, so one digest
names exactly one manifest. Names of tensors are not in it; they live in the encrypted index.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from . import limits
from .checkpoint_binding import ALGORITHM, FORMAT, INDEX_MEDIA, SHARD_MEDIA, Binding
from .errors import FormatError, ManifestError
from .formats import canonical, check_shard_id, strict_json
from .manifest_merkle import root_of

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:weighthouse:checkpoint:v1"
_HEX = re.compile(r"[0-9a-f]{64}")
_REMEDY = "Take the manifest from the control plane again; do not use this one."


@dataclass(frozen=True, slots=True)
class Shard:
    """One ciphertext object: exact lengths in bytes, BLAKE3 of its 74-byte header, Merkle root over its segments."""

    id: str
    index: int
    media: str
    ciphertext: int
    plaintext: int
    header: str
    root: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one save consists of and where it came from. `parent` is (version, manifest digest) or None."""

    tenant: str
    model: str
    version: str
    save: str
    parent: tuple[str, str] | None
    shards: tuple[Shard, ...]
    provenance: tuple[tuple[str, str], ...] = ()

    def binding(self, shard: Shard) -> Binding:
        """The place a shard of this manifest belongs to."""
        count = len(self.shards) - 1
        return Binding(self.tenant, self.model, self.version, self.save, shard.id, shard.index, count, shard.media)

    def ciphertext(self) -> int:
        """Bytes of all objects together."""
        return sum(shard.ciphertext for shard in self.shards)

    def payload(self) -> bytes:
        """The canonical in-toto statement, after OpenSSF model signing: one subject, one resource a shard."""
        whole = root_of([bytes.fromhex(shard.root) for shard in self.shards]).hex()
        parent = {"version": self.parent[0], "digest": self.parent[1]} if self.parent else None
        predicate = {
            "format": FORMAT,
            "alg": ALGORITHM,
            "tenant": self.tenant,
            "model": self.model,
            "version": self.version,
            "save": self.save,
            "parent": parent,
            "serialization": {"method": "floe-segments", "hash": "blake3-merkle"},
            "resources": [asdict(shard) for shard in self.shards],
            "provenance": dict(self.provenance),
        }
        return canonical(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": f"{self.model}@{self.version}", "digest": {"blake3": whole}}],
                "predicateType": PREDICATE_TYPE,
                "predicate": predicate,
            }
        )

    def digest(self) -> str:
        """`sha256:<hex>` of the payload: the name by which the control plane remembers this manifest."""
        return digest_of(self.payload())


def digest_of(payload: bytes) -> str:
    """`sha256:<hex>` of payload bytes."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()


def _encoded(payload: bytes) -> bytes:
    """DSSE pre-authentication encoding, version 1: the payload type is signed too."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def key_id(public: bytes) -> str:
    """A stable name for a raw Ed25519 public key."""
    return "sha256:" + hashlib.sha256(public).hexdigest()


def sign(manifest: Manifest, private: Ed25519PrivateKey) -> bytes:
    """Sign a manifest and return its DSSE envelope as canonical JSON."""
    payload = manifest.payload()
    data = _envelope(payload, private.public_key().public_bytes_raw(), private.sign(_encoded(payload)))
    limits.ENVELOPE.check(len(data), "The manifest")
    return data


def _envelope(payload: bytes, public: bytes, signature: bytes) -> bytes:
    """The one spelling of an envelope."""
    signed = {"keyid": key_id(public), "sig": base64.b64encode(signature).decode()}
    return canonical(
        {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": [signed]}
    )


def is_plain(envelope: bytes, public: bytes) -> bool:
    """Whether an envelope is spelled as `sign` spells it: blanks, escapes and spare bits could carry anything."""
    try:
        document = strict_json(envelope, limits.ENVELOPE, "The manifest's envelope")
        return _envelope(*_spelled(document, public)) == envelope
    except (FormatError, KeyError, TypeError, ValueError, binascii.Error):
        return False


def _spelled(document: dict[str, Any], public: bytes) -> tuple[bytes, bytes, bytes]:
    payload, signature = _envelope_parts(document, public)
    return payload, public, signature


def check(manifest: Manifest) -> None:
    """Refuse a manifest that no reader takes, before anything is written for it; it is not signed yet."""
    limits.SHARDS.check(len(manifest.shards) - 1, "The manifest")
    payload = manifest.payload()
    wrapped = len(payload) * 4 // 3 + 512  # base64, and the envelope around it
    limits.ENVELOPE.check(wrapped, "The manifest")
    if parse(payload) != manifest:
        raise _bad("payload", "The manifest would not be read back as it was meant.")


def open_envelope(envelope: bytes, public: bytes) -> Manifest:
    """Check the one signature under the raw Ed25519 key `public`, then parse. Raises `manifest.*`."""
    try:
        document = strict_json(envelope, limits.ENVELOPE, "The manifest's envelope")
        payload, signature = _envelope_parts(document, public)
    except (FormatError, KeyError, TypeError, ValueError, binascii.Error):
        raise _bad(
            "envelope", "The manifest is not a DSSE envelope with one signature by the expected key."
        ) from None
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _encoded(payload))
    except (InvalidSignature, ValueError):
        raise _bad("signature", "The manifest is not signed by the key that was certified for this save.") from None
    return parse(payload)


def _envelope_parts(document: dict[str, Any], public: bytes) -> tuple[bytes, bytes]:
    if set(document) != {"payload", "payloadType", "signatures"} or document["payloadType"] != PAYLOAD_TYPE:
        raise ValueError
    (signature,) = document["signatures"]
    if set(signature) != {"keyid", "sig"} or signature["keyid"] != key_id(public):
        raise ValueError
    return base64.b64decode(document["payload"], validate=True), base64.b64decode(signature["sig"], validate=True)


def parse(payload: bytes) -> Manifest:
    """Parse a payload into the one manifest that encodes to exactly these bytes."""
    try:
        predicate = strict_json(payload, limits.ENVELOPE, "The manifest")["predicate"]
        parent = predicate["parent"]
        manifest = Manifest(
            _text(predicate["tenant"]),
            _text(predicate["model"]),
            _text(predicate["version"]),
            _text(predicate["save"]),
            (_text(parent["version"]), _text(parent["digest"])) if parent is not None else None,
            tuple(_shard(item) for item in predicate["resources"]),
            tuple(sorted((key, _text(value)) for key, value in predicate["provenance"].items())),
        )
        _check_order(manifest)
        same = manifest.payload() == payload
    except (FormatError, KeyError, TypeError, ValueError, AttributeError):
        raise _bad("payload", "The manifest's statement is malformed.") from None
    if not same:
        raise _bad("payload", "The manifest says more than, or something other than, this version understands.")
    return manifest


def _check_order(manifest: Manifest) -> None:
    """Shards are numbered from 0, named once, and the last one is the index."""
    last = len(manifest.shards) - 1
    limits.SHARDS.check(last, "The manifest")
    if last < 1 or len({shard.id for shard in manifest.shards}) != last + 1:
        raise ValueError
    for at, shard in enumerate(manifest.shards):
        if shard.index != at or shard.media != (SHARD_MEDIA if at < last else INDEX_MEDIA):
            raise ValueError


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > limits.TEXT.most:
        raise ValueError
    return value


def _shard(item: dict[str, Any]) -> Shard:
    if set(item) != {field.name for field in fields(Shard)}:
        raise ValueError
    shard = Shard(**item)
    check_shard_id(shard.id)
    counts = (shard.index, shard.ciphertext, shard.plaintext)
    if any(type(count) is not int or not 0 <= count < 1 << 53 for count in counts):
        raise ValueError
    if _HEX.fullmatch(shard.header) is None or _HEX.fullmatch(shard.root) is None:
        raise ValueError
    return shard


def _bad(what: str, why: str) -> ManifestError:
    return ManifestError("manifest." + what, why, _REMEDY)
