"""BLAKE3 Merkle roots over ciphertext segments, in the shape of RFC 6962. Guards writers from readers.

A reader holds the data key and can forge a segment with a valid GCM tag; the signed root is what separates "may read"
from "may write". A leaf is one encrypted segment, so a reader of one tensor checks only the segments it touches.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from blake3 import blake3

from .errors import ManifestError

HASH_BYTES = 32


def leaf_hash(segment: bytes | memoryview) -> bytes:
    """BLAKE3(0x00 || segment)."""
    return bytes(blake3(b"\x00").update(segment).digest())


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over leaf hashes; an inner node is BLAKE3(0x01 || left || right)."""
    if not leaves:
        raise ManifestError("manifest.no_leaves", "A tree needs at least one segment.", "Save the checkpoint again.")
    level = list(leaves)
    # Pairing level by level and carrying a lone last node up gives exactly the tree of RFC 6962, section 2.1.
    while len(level) > 1:
        paired = [blake3(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def split_leaves(stored: bytes, count: int, root: bytes) -> list[bytes]:
    """Cut a stored leaf list into hashes, after checking that it has `count` of them and leads to the signed root."""
    if len(stored) != count * HASH_BYTES:
        raise _wrong()
    leaves = [stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)]
    if not hmac.compare_digest(root_of(leaves), root):
        raise _wrong()
    return leaves


def _wrong() -> ManifestError:
    why = "The stored segment hashes do not lead to the signed root."
    return ManifestError("manifest.leaves", why, "Fetch the leaf file again; it was altered.")
