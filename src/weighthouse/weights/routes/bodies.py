"""What the registry's endpoints accept. Guards the room from unknown fields, wrong types and oversize texts."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from weighthouse.core.errors import Invalid
from weighthouse.weights.model import MAX_SHARDS
from weighthouse_sdk import limits

Id = Annotated[str, StringConstraints(max_length=64)]
Slug = Annotated[str, StringConstraints(max_length=260)]
Key = Annotated[str, StringConstraints(min_length=44, max_length=44)]
MAX_ENVELOPE = limits.ENVELOPE.most  # what the SDK writes at most; MAX_SHARDS shards have half of it


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class BeginSave(Body):
    """`recipient` and `signer` are raw public keys (X25519, Ed25519) in base64, made for this save alone."""

    model: Slug
    parent: Id | None = None
    shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)]
    recipient: Key
    signer: Key


class Commit(Body):
    """The DSSE envelope of the manifest, as text."""

    manifest: Annotated[str, StringConstraints(min_length=2, max_length=MAX_ENVELOPE)]


class BeginLoad(Body):
    version: Id
    recipient: Key


class Write(Body):
    """Of a run's save. A key that it names is what it is refused for, by its own code."""

    model: Slug
    parent: Id | None = None
    shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)]
    recipient: Key | Literal[""] = ""
    signer: Key | Literal[""] = ""


class Lend(Body):
    """Of a run's load; as above."""

    version: Id
    recipient: Key | Literal[""] = ""


class BeginExport(Body):
    version: Id
    destination: Annotated[str, StringConstraints(max_length=128)]


class Destroy(Body):
    reason: Annotated[str, StringConstraints(min_length=3, max_length=500)]


class DestroyModel(Destroy):
    model: Slug


class Nothing(Body):
    """An empty object."""


def raw_key(text: str) -> bytes:
    """Decode a public key; raise `weights.bad_key`."""
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Invalid("weights.bad_key", "A public key is not base64 of 32 bytes.", "Send the raw key.") from None
