"""The log's own keys and the signing of checkpoints. Guards the one signature that makes a head the log's head.

The Ed25519 key and the seed of the ML-DSA-44 key come from the signers outside the database; nothing here stores one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules.checkpoint import Checkpoint, Sign, open_checkpoint, sign_note
from weighthouse.audit.rules.note import Note, VerifierKey
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.signing import Signers
from weighthouse.core.work import System

_ML_DSA_LABEL = b"weighthouse log ml-dsa-44 seed v1"


class LogKey(NamedTuple):
    """One key of the log: what verifiers know, and how to sign with it."""

    public: VerifierKey
    sign: Sign


@lru_cache(maxsize=8)
def _ml_dsa(seed: bytes) -> MLDSA44PrivateKey:
    return MLDSA44PrivateKey.from_seed_bytes(seed)


@lru_cache(maxsize=8)
def _verifier_key(origin: str, kind: int, public: bytes) -> VerifierKey:
    return VerifierKey(notes.check_name(origin), kind, public)


def origin_of(system: System) -> str:
    """Return the name of this log."""
    return system.settings.text("log.origin")


def log_name(system: System) -> VerifierKey:
    """Return the Ed25519 key that this log is known by."""
    return _verifier_key(origin_of(system), notes.ED25519, system.part(Signers).signer("log").public)


def log_keys(system: System) -> list[LogKey]:
    """Return the keys that sign this log's checkpoints, Ed25519 first."""
    signers = system.part(Signers)
    origin = origin_of(system)
    keys = [LogKey(log_name(system), signers.signer("log").sign)]
    if system.settings.flag("log.ml_dsa"):
        private = _ml_dsa(signers.mac("log", _ML_DSA_LABEL))
        public = private.public_key().public_bytes_raw()
        keys.append(LogKey(_verifier_key(origin, notes.COSIGNATURE_ML_DSA_44, public), private.sign))
    return keys


def sign_checkpoint(system: System, size: int, root: bytes, at: Millis) -> str:
    """Return the signed checkpoint note of a tree; the caller has already judged the tree by the signer's memory."""
    checkpoint = Checkpoint(origin_of(system), size, root)
    signatures = tuple(sign_note(key.public, key.sign, checkpoint, at // SECOND) for key in log_keys(system))
    return str(Note(checkpoint.text(), signatures))


def sign_statement(system: System, kind: str, body: str) -> str:
    """Return a note by which this log's name says `body`, one line, to somebody outside.

    Its first line is `kind`, where that of a checkpoint is the log's name: neither can be read as the other.
    """
    key = log_keys(system)[0]
    text = f"{kind}\n{key.public.name}\n{body}\n"
    return str(Note(text, (notes.Signature(key.public.name, key.public.id, key.sign(text.encode())),)))


def open_own_checkpoint(system: System, note: str) -> Checkpoint:
    """Return what a stored checkpoint says if this log signed it; else `audit.bad_signature` or `audit.malformed`."""
    return _open(note, tuple(key.public for key in log_keys(system)))


@lru_cache(maxsize=64)
def _open(note: str, keys: tuple[VerifierKey, ...]) -> Checkpoint:
    return open_checkpoint(note.encode(), keys)[0]


def seal_head(system: System, size: int, root: bytes, floor: int, epoch: int, lanes: str = "") -> bytes:
    """Return the code over what the head says about the outbox, so that no writer of rows can lower its floor.

    Form 1 came without lanes; it is verified where there are none, and never made where there are.
    """
    message = b"head/v1\n%d\n%d\n%d\n" % (size, floor, epoch) + root
    if lanes:
        message = b"head/v2\n%d\n%d\n%d\n" % (size, floor, epoch) + root + lanes.encode()
    return system.part(Signers).mac("log", message)


def seal_cursor(system: System, follower: str, place: int) -> bytes:
    """Return the code over where a follower goes on, so that no writer of rows moves it past what it has not seen."""
    return system.part(Signers).mac("log", b"cursor/v1\n%d\n" % place + follower.encode())


def seal_server(system: System, name: str, said: bytes) -> bytes:
    """Return the code over what a server says of itself, so that nobody else says it."""
    return system.part(Signers).mac("log", b"server/v1\n%d\n" % len(name.encode()) + name.encode() + said)


def seal_outbox(system: System, epoch: int, xid: int, leaf: bytes) -> bytes:
    """Return the code of one outbox row, bound to the transaction that wrote it."""
    message = b"outbox/v1\n%d\n%d\n" % (epoch, xid) + leaf
    return system.part(Signers).mac("log", message)


def chain_outbox(system: System, epoch: int, xid: int, lane: str, number: int, prev: bytes, leaf: bytes) -> bytes:
    """Return the code of one outbox row, bound to its transaction, its place in its lane, and the row before it."""
    place = b"outbox/v2\n%d\n%d\n%d\n%d\n" % (epoch, xid, number, len(prev)) + lane.encode() + b"\n"
    return system.part(Signers).mac("log", place + prev + leaf)
