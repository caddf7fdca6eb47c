"""Checking one entry with one proof file (C2SP tlog-proof). Guards whoever holds a receipt and nothing else."""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from weighthouse_verify.notes import Checkpoint, RefusedError, number, read_checkpoint, unbase64
from weighthouse_verify.tree import HASH, leaf_hash, path_root


@dataclass(frozen=True)
class Proof:
    """A proof as read: nothing in it is believed yet."""

    index: int
    path: list[bytes]
    checkpoint: Checkpoint


def read_proof(raw: bytes) -> Proof:
    """Read a proof file; raise on any deviation from the format."""
    try:
        head, gap, rest = raw.decode("utf-8").partition("\n\n")
    except (UnicodeDecodeError, binascii.Error):
        raise RefusedError("the proof is not UTF-8") from None
    lines = head.split("\n")
    if not gap or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise RefusedError("the file is not a tlog-proof")
    if lines and lines[0].startswith("extra "):
        unbase64(lines.pop(0)[6:], "the extra data")
    if not lines or not lines[0].startswith("index "):
        raise RefusedError("the proof names no index")
    index = number(lines.pop(0)[6:], "the index")
    path = [unbase64(line, "a hash of the proof") for line in lines]
    if len(path) > 63 or any(len(item) != HASH for item in path):
        raise RefusedError("the proof has too many hashes, or one of the wrong length")
    return Proof(index, path, read_checkpoint(rest.encode()))


def check_inclusion(proof: Proof, leaf: bytes) -> None:
    """Raise unless `leaf` stands at the proof's index in the proof's checkpoint."""
    checkpoint = proof.checkpoint
    if proof.index >= checkpoint.size:
        raise RefusedError(f"entry {proof.index} is beyond the checkpoint of {checkpoint.size} entries")
    if path_root(proof.index, checkpoint.size, leaf_hash(leaf), proof.path) != checkpoint.root:
        raise RefusedError(f"entry {proof.index} is not this one: the path does not lead to the signed root")
