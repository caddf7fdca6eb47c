"""Checking what a lab has exported, by the key of its log alone (`--export`). Guards whoever was sent weights.

A bundle holds the lab's signed statement, the certificate of the key that signed the manifest, that manifest, and the
version's own line of the log with its proof. Each must hold, and all must be about one version and one manifest. What
lies inside the ciphertext is not looked at: that needs the recipient's key.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from weighthouse_verify import leaf as leaves
from weighthouse_verify.notes import LOG, Checkpoint, Key, RefusedError, check_signed, unbase64
from weighthouse_verify.proof import check_inclusion, read_proof

FORMAT = "weighthouse-export/2"
STATEMENT = "weighthouse-export-statement/1"
CERTIFICATE = "weighthouse/manifest-key/1"
PAYLOAD = "application/vnd.in-toto+json"
UNSIGNED = "the statement is not signed by the lab with this key"
SEALED = "weights.CheckpointSealed"
_SAME = ("export", "version", "tenant", "model", "save", "digest", "destination")
_TEXTS = {*_SAME, "format", "manifest", "signer", "statement", "entry", "proof"}
_FIELDS = {*_TEXTS, "keys", "certificate"}


def check_export(raw: bytes, keys: list[Key]) -> tuple[dict[str, Any], Checkpoint]:
    """Return what the lab says it has let out, and the head that it is in; raise on anything that does not hold."""
    bundle = _json(raw, "the bundle")
    if bundle.get("format") != FORMAT:
        raise RefusedError(f"it is no bundle of the form {FORMAT}; an older one shows nobody whose it is")
    if bundle.keys() != _FIELDS or not all(isinstance(bundle[name], str) for name in _TEXTS):
        raise RefusedError("the bundle lacks a field, or has one that is not known, or one of another type")
    said = _statement(bundle, keys)
    _certificate(bundle, said)
    _manifest(bundle)
    return said, _entry(bundle, said, keys)


def _statement(bundle: dict[str, Any], keys: list[Key]) -> dict[str, Any]:
    text, gap, tail = bundle["statement"].rpartition("\n\n")
    lines = text.split("\n")
    if not gap or not tail.endswith("\n") or len(lines) != 3 or lines[0] != STATEMENT:
        raise RefusedError("the statement is malformed")
    known = {(key.name, key.id): key for key in keys if key.kind == LOG and key.name == lines[1]}
    signed = False
    for line in tail[:-1].split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "—":
            raise RefusedError("a signature line of the statement is malformed")
        value = unbase64(parts[2], "a signature of the statement")
        key = known.get((parts[1], value[:4]))
        if key is not None:
            _verify(
                key.public, value[4:], f"{text}\n".encode(), "the statement is not signed by the lab with this key"
            )
            signed = True
    if not signed:
        raise RefusedError(UNSIGNED)
    said = _json(lines[2].encode(), "the statement")
    if any(said.get(name) != bundle[name] for name in _SAME):
        raise RefusedError("the statement is about another export")
    if said.get("keys") != sha256(leaves.canonical(bundle["keys"])).hexdigest():
        raise RefusedError("the statement is about other data keys")
    return said


def _certificate(bundle: dict[str, Any], said: dict[str, Any]) -> None:
    found = bundle["certificate"]
    if not isinstance(found, dict) or found.keys() != {"statement", "signature"}:
        raise RefusedError("the certificate is malformed")
    save = found["statement"]
    certifier = unbase64(_text(said.get("certifier")), "the certifying key")
    signature = unbase64(_text(found["signature"]), "the signature of the certificate")
    _verify(
        certifier, signature, leaves.canonical(save), "the certificate is not signed by the key that the lab names"
    )
    place = {
        "type": CERTIFICATE,
        "id": bundle["save"],
        **{n: bundle[n] for n in ("version", "tenant", "model", "signer")},
    }
    if not isinstance(save, dict) or any(save.get(name) != value for name, value in place.items()):
        raise RefusedError("the certificate is for another save")


def _manifest(bundle: dict[str, Any]) -> None:
    envelope = _json(bundle["manifest"].encode(), "the manifest")
    signatures = envelope.get("signatures")
    if envelope.keys() != {"payload", "payloadType", "signatures"} or envelope["payloadType"] != PAYLOAD:
        raise RefusedError("the manifest is malformed")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise RefusedError("the manifest has not one signature")
    payload = unbase64(_text(envelope["payload"]), "the manifest")
    message = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)
    signature = unbase64(_text(signatures[0].get("sig")), "the signature of the manifest")
    _verify(unbase64(bundle["signer"], "the signer"), signature, message, "the manifest is not signed by its signer")
    if f"sha256:{sha256(payload).hexdigest()}" != bundle["digest"]:
        raise RefusedError("the manifest is not that of the version that was let out")


def _entry(bundle: dict[str, Any], said: dict[str, Any], keys: list[Key]) -> Checkpoint:
    proof, line = read_proof(bundle["proof"].encode()), unbase64(bundle["entry"], "the line of the log")
    check_signed(proof.checkpoint, keys)
    if said.get("entry") != proof.index:
        raise RefusedError("the proof is of another line than the statement names")
    check_inclusion(proof, line)
    if defect := leaves.defect(line):
        raise RefusedError(f"the line of the log is malformed: {defect}")
    entry = leaves.strict(line)
    same = all(entry["data"].get(name) == bundle[name] for name in ("version", "model", "save", "digest"))
    if entry["kind"] != SEALED or not same:
        raise RefusedError("the line of the log is about another version or manifest")
    return proof.checkpoint


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedError("a field of the bundle is not of its type")
    return value


def _json(raw: bytes, what: str) -> dict[str, Any]:
    try:
        value = leaves.strict(raw)
        if leaves.canonical(value) != raw:
            raise ValueError("there is another spelling")
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{what} is not strict canonical JSON ({error})") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{what} is no object")
    return value


def _verify(public: bytes, signature: bytes, data: bytes, otherwise: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise RefusedError(otherwise) from None
