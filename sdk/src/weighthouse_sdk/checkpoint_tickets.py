"""Tickets: what the control plane hands out for one save or one load. Guards the loader from a wrong or stale answer.

A ticket is read strictly; every name in it that could reach a path is checked here, before anything uses it. The data
keys in it are sealed to the caller's own ephemeral key, so a ticket seen by somebody else opens nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .checkpoint_binding import Binding, bindings
from .errors import CheckpointError, FormatError

_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class SaveTicket:
    """Leave to write one version: where it belongs, and a sealed data key for each shard and the index (last)."""

    save: str
    version: str
    tenant: str
    model: str
    parent: tuple[str, str] | None
    bindings: tuple[Binding, ...]
    sealed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LoadTicket:
    """Leave to read one version. `digest` is what the control plane remembers of the manifest; storage is not asked.

    `signer` is the raw Ed25519 key certified for the save; `until` (milliseconds, control plane's clock) and `now` at
    the time of the answer say how long the lease lasts; `verify` is what the model's class demands.
    """

    version: str
    tenant: str
    model: str
    save: str
    digest: str
    manifest: bytes
    signer: bytes
    lease: str
    lasts: int
    verify: str
    bindings: tuple[Binding, ...]
    sealed: tuple[bytes, ...]


def _strings(document: Mapping[str, Any], *names: str) -> list[str]:
    values = [document[name] for name in names]
    if not all(isinstance(value, str) and len(value) <= 512 for value in values):
        raise TypeError
    return values


def _folder_name(save: str) -> str:
    """A save's id is the name of its folder; nothing that could climb or hide may stand there."""
    if _NAME.fullmatch(save) is None:
        raise ValueError
    return save


def _keys(document: Mapping[str, Any], tenant: str, model: str, version: str, save: str) -> Any:
    listed = document["keys"]
    places = bindings(tenant, model, version, save, tuple(item["shard"] for item in listed))
    return places, tuple(base64.b64decode(item["sealed"], validate=True) for item in listed)


def parse_save(document: Mapping[str, Any]) -> SaveTicket:
    """Read the control plane's answer to a save."""
    try:
        save, version, tenant, model = _strings(document, "save", "version", "tenant", "model")
        _folder_name(save)
        parent = document.get("parent")
        names = tuple(_strings(parent, "version", "digest")) if parent is not None else None
        places, sealed = _keys(document, tenant, model, version, save)
        return SaveTicket(save, version, tenant, model, names, places, sealed)  # type: ignore[arg-type]
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, FormatError):
        raise _malformed() from None


def parse_load(document: Mapping[str, Any]) -> LoadTicket:
    """Read the control plane's answer to a load."""
    try:
        version, tenant, model, save = _strings(document, "version", "tenant", "model", "save")
        _folder_name(save)
        digest, signer, lease, verify = _strings(document, "digest", "signer", "lease", "verify")
        places, sealed = _keys(document, tenant, model, version, save)
        lasts = document["lease_until"] - document["now"]
        manifest = document["manifest"].encode()
        if type(lasts) is not int or verify not in ("signed", "tags"):
            raise TypeError
        key = base64.b64decode(signer, validate=True)
        return LoadTicket(version, tenant, model, save, digest, manifest, key, lease, lasts, verify, places, sealed)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, FormatError):
        raise _malformed() from None


def _malformed() -> CheckpointError:
    why = "The control plane's ticket is malformed."
    return CheckpointError("checkpoint.ticket", why, "Check that the SDK and the control plane are of one version.")
