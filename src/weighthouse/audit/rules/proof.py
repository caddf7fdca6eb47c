"""Proofs as text files (C2SP tlog-proof). Guards an auditor's need to check one entry with nothing but this text.

A proof holds the entry's index, the hashes from its sibling up to the root, and the signed checkpoint, cosignatures
included. It is checked offline by `weighthouse-verify --proof`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from weighthouse.audit.rules.checkpoint import Checkpoint, open_checkpoint, parse_decimal, parse_hash
from weighthouse.audit.rules.note import VerifierKey, decode_base64, malformed
from weighthouse.audit.rules.tree import leaf_hash, verify_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63


@dataclass(frozen=True, slots=True)
class Proof:
    """An inclusion proof with the checkpoint it leads to; `extra` is whatever the maker added, never trusted."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""


def format_proof(proof: Proof) -> str:
    """Return the text of a proof."""
    lines = [HEADER]
    if proof.extra:
        lines.append("extra " + base64.b64encode(proof.extra).decode())
    lines.append(f"index {proof.index}")
    lines.extend(base64.b64encode(item).decode() for item in proof.path)
    return "\n".join(lines) + "\n\n" + proof.checkpoint


def parse_proof(text: str) -> Proof:
    """Read the text of a proof; raise `audit.malformed` where it breaks the format."""
    head, gap, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or lines.pop(0) != HEADER:
        raise malformed(f"A proof begins with '{HEADER}' and has an empty line before its checkpoint")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0)[6:], "The extra data of the proof")
    if not lines or not lines[0].startswith("index "):
        raise malformed("A proof names the index of its entry")
    index = parse_decimal(lines.pop(0)[6:], "The index")
    if len(lines) > MAX_PATH:
        raise malformed("A proof has at most 63 hashes")
    return Proof(index, tuple(parse_hash(line, "A hash of the proof") for line in lines), checkpoint, extra)


def check_proof(proof: Proof, leaf: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return the verified checkpoint if `leaf` is at the proof's index in it.

    Raises `audit.malformed`, `audit.bad_signature`, or `audit.malformed` when the hashes do not lead to the root.
    """
    checkpoint, _ = open_checkpoint(proof.checkpoint.encode(), keys)
    if not verify_inclusion(proof.index, checkpoint.size, leaf_hash(leaf), proof.path, checkpoint.root):
        raise malformed(f"The proof does not lead from this entry at index {proof.index} to the signed root")
    return checkpoint
