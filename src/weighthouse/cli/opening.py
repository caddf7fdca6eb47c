"""Opening what a lab has exported, at its recipient's. Guards them from a bundle that somebody else has made.

Everything is checked before anything is opened, by the key of the lab's log that the recipient has from elsewhere. A
file that was begun and cannot be finished is removed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from weighthouse.cli.sealing import create
from weighthouse.core.errors import Denied, Invalid

if TYPE_CHECKING:
    from weighthouse_sdk.checkpoint import Bundle

MOST_KEYS = 1 << 16


def _read(path: Path, most: int) -> bytes:
    """Return at most that much of a plain file, and one byte more."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read(most + 1)


def check_bundle(path: Path, key: Path) -> Bundle:
    """Return the bundle in `path` if the lab whose verifier keys lie in `key` has let it out; raise `bundle.*`."""
    from weighthouse_sdk import limits
    from weighthouse_sdk.checkpoint import open_bundle

    keys = _read(key, MOST_KEYS).decode("utf-8", "replace").split("\n")
    return open_bundle(_read(path, limits.BUNDLE.most), [line for line in keys if line.strip()])


def open_bundle(found: Bundle, folder: Path, private: bytes, target: Path) -> None:
    """Decrypt every tensor into the new safetensors file `target`, readable by its owner."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from weighthouse_sdk import checkpoint
    from weighthouse_sdk.checkpoint_tensors import as_tensor
    from weighthouse_sdk.formats import build_header

    recipient = checkpoint.Recipient(X25519PrivateKey.from_private_bytes(private))
    if f"x25519:{recipient.public.hex()}" != found.destination:
        raise Denied(
            "cli.not_the_recipient",
            f"This export was sealed to {found.destination}, and the key given is another.",
            "Give the private key of exactly that destination with --recipient.",
        )
    if target.exists():
        raise Invalid("cli.file_exists", f"{target} exists already.", "Choose another name with -o.")
    loaded = checkpoint.load(found.ticket, recipient, folder)
    tensors = {name: as_tensor(name, value) for name, value in loaded.items()}
    header, entries = build_header([(name, one.dtype, one.shape, one.data.nbytes) for name, one in tensors.items()])
    with os.fdopen(create(target), "wb") as plain:
        try:
            plain.write(header)
            for entry in entries:
                plain.write(tensors[entry.name].data)
        except BaseException:
            target.unlink()
            raise
