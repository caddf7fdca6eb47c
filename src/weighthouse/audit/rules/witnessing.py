"""The witness protocol (C2SP tlog-witness v1.0.0), both sides, as pure functions. Guards auditors from split views.

A witness remembers one checkpoint for each log and cosigns only what grew from it; so a log that shows two histories,
or an older one, finds no second signature.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules.checkpoint import Checkpoint, check_signature, parse_decimal, parse_hash, parse_text
from weighthouse.audit.rules.note import Note, Signature, VerifierKey, malformed
from weighthouse.audit.rules.tree import EMPTY_ROOT, verify_consistency
from weighthouse.core.errors import Invalid

MAX_PROOF = 63
SIZE_TYPE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Submission:
    """One `add-checkpoint` request: where the log believes the witness stands, the proof, and the new checkpoint."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness remembers of one log: the last checkpoint it cosigned."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a witness does not cosign: the HTTP status of the protocol and a line of text."""

    status: int
    text: str


def format_submission(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """Return the body of an `add-checkpoint` request."""
    lines = [f"old {old}", *(base64.b64encode(item).decode() for item in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode()


def parse_submission(body: bytes) -> Submission:
    """Read the body of an `add-checkpoint` request; raise `audit.malformed` where the witness answers 400."""
    head, gap, rest = body.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if not gap or not lines[0].startswith("old "):
        raise malformed("The request has no line 'old <size>' and empty line before the checkpoint")
    if len(lines) - 1 > MAX_PROOF:
        raise malformed("The request has more than 63 proof lines")
    old = parse_decimal(lines[0][4:], "The old size")
    proof = tuple(parse_hash(line, "A proof line") for line in lines[1:])
    note = notes.parse(rest)
    checkpoint = parse_text(note.text, allow_wrong_empty_root=True)
    if old > checkpoint.size:
        raise malformed("The old size is larger than the checkpoint")
    return Submission(old, proof, note, checkpoint)


def judge(submission: Submission, logs: Mapping[str, Sequence[VerifierKey]], seen: Seen) -> Refusal | None:
    """Return None if the witness may cosign, else its refusal (404, 403, 409 with its size, 422)."""
    checkpoint = submission.checkpoint
    keys = logs.get(checkpoint.origin)
    if keys is None:
        return Refusal(404, "unknown log\n")
    try:
        notes.verify(submission.note, keys, check_signature)
    except Invalid:
        return Refusal(403, "no good signature of this log\n")
    if submission.old != seen.size:
        return Refusal(409, f"{seen.size}\n")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        return Refusal(422, "wrong root of the empty tree\n")
    if not verify_consistency(seen.size, checkpoint.size, submission.proof, seen.root, checkpoint.root):
        return Refusal(422, "not consistent with what this witness saw\n")
    return None


def read_cosignatures(body: bytes, note: Note, key: VerifierKey) -> tuple[Signature, ...]:
    """Return the witness's newest cosignature out of its answer; raise if it has none, or a bad one of its own.

    One a round: what a peer may add to a note that is kept has a bound, or the note outgrows its own reader.
    """
    if not body.endswith(b"\n"):
        raise malformed("The witness's answer does not end in a newline")
    lines = body.decode("utf-8", "replace")[:-1].split("\n")
    signatures = tuple(notes.parse_signature(line) for line in lines)
    notes.verify(Note(note.text, signatures), [key], check_signature)
    own = tuple(s for s in signatures if (s.name, s.key_id) == (key.name, key.id))
    if any(s.value[:8] == bytes(8) for s in own):
        raise malformed("The witness's cosignature has no timestamp")
    return (max(own, key=lambda s: s.value[:8]),)
