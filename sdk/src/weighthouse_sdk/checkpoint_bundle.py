"""Export bundles: a version that was let out, with everything that shows whose it is. Guards whoever was sent one.

A bundle is believed by one thing that is not in it: the public key of the lab's log, which its recipient has from
elsewhere. That key must have signed what was let out (the statement, which also names who certifies), and the head of
the log in which the version's own line lies (the proof). Each of them must be about the same version and the same
manifest; whoever knows a recipient's public key can make all the rest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import manifest
from .checkpoint_tickets import LoadTicket, parse_load
from .errors import CheckpointError
from .formats import canonical, strict_json
from .limits import BUNDLE

FORMAT = "weighthouse-export/2"
STATEMENT = "weighthouse-export-statement/1"
PROOF = "c2sp.org/tlog-proof@v1"
SEALED = "weights.CheckpointSealed"
_SAME = ("export", "version", "tenant", "model", "save", "digest", "destination")
_FIELDS = {*_SAME, "format", "manifest", "signer", "keys", "statement", "certificate", "entry", "proof"}
_ED25519 = 1
_AGAIN = "Do not open it. Ask the lab for the export again, and for the key of its log over another way."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was checked whole: what was let out, to whom, and the ticket that opens it."""

    export: str
    destination: str
    size: int
    entry: int
    ticket: LoadTicket


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    id: bytes
    public: bytes


def open_bundle(bundle: bytes, keys: Iterable[str]) -> Bundle:
    """Check an export bundle against the lab's verifier keys, and return what it holds.

    Raises `bundle.malformed`, `bundle.format`, `bundle.key`, `bundle.statement`, `bundle.statement_differs`,
    `bundle.certificate`, `bundle.proof`, `bundle.entry_differs`, `bundle.manifest_differs`, and `manifest.*`.
    """
    known = _keys(keys)
    document = _document(bundle)
    try:
        said = _statement(document, known)
        _certified(document, said)
        listed = manifest.open_envelope(document["manifest"].encode(), _bytes(document["signer"]))
        _proven(document, said, known)
        ticket = parse_load({**document, "lease": "", "lease_until": 0, "now": 0, "verify": "signed"})
        found = Bundle(document["export"], document["destination"], said["bytes"], said["entry"], ticket)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, RecursionError):
        raise _bad("malformed", "The export bundle is malformed.") from None
    place = (listed.tenant, listed.model, listed.version, listed.save, listed.digest())
    if place != (ticket.tenant, ticket.model, ticket.version, ticket.save, ticket.digest):
        raise _bad("manifest_differs", "The manifest in the bundle is not that of the version that was let out.")
    return found


def parse_bundle(bundle: bytes, keys: Iterable[str]) -> LoadTicket:
    """Return the ticket of an export bundle that the lab with these verifier keys has let out."""
    return open_bundle(bundle, keys).ticket


def _document(bundle: bytes) -> dict[str, Any]:
    document = strict_json(bundle, BUNDLE, "The export bundle")
    if not isinstance(document, dict):
        raise _bad("malformed", "The export bundle is malformed.")
    if document.get("format") != FORMAT:
        why = f"This is no bundle of the form {FORMAT}; an older one shows nobody whose it is."
        raise _bad("format", why)
    if set(document) != _FIELDS:
        raise _bad("malformed", "The export bundle lacks something, or says more than this version understands.")
    return document


def _keys(lines: Iterable[str]) -> list[_Key]:
    found = []
    for line in lines:
        name, _, rest = line.strip().partition("+")
        stated, _, material = rest.partition("+")
        try:
            raw = _bytes(material)
        except (ValueError, binascii.Error):
            raise _no_key() from None
        ident = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        if not name or ident.hex() != stated:
            raise _no_key()
        if raw[0] == _ED25519 and len(raw) == 33:
            found.append(_Key(name, ident, raw[1:]))
    if not found:
        raise _no_key()
    return found


def _no_key() -> CheckpointError:
    why = "What was given is not the verifier key of a lab's log (name+id+base64, a line each)."
    return CheckpointError("bundle.key", why, "Ask the lab for it; log.vkey of an exported log is one.")


def _signed(note: str, known: Sequence[_Key]) -> list[str]:
    """Return the lines of a signed note whose second line or first names a known key that signed it."""
    text, gap, tail = note.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise ValueError
    good = set()
    for line in tail[:-1].split("\n"):
        dash, name, material = line.split(" ")
        value = _bytes(material)
        if dash != "—":
            raise ValueError
        for key in known:
            if (key.name, key.id) == (name, value[:4]):
                if not _verifies(key.public, value[4:], f"{text}\n".encode()):
                    raise ValueError
                good.add(name)
    lines = text.split("\n")
    if not good & set(lines[:2]):
        raise ValueError
    return lines


def _statement(document: Mapping[str, Any], known: Sequence[_Key]) -> dict[str, Any]:
    """What the lab says it has let out: signed by its log's key, and the same as the bundle around it."""
    try:
        kind, origin, body = _signed(document["statement"], known)
        said = strict_json(body.encode(), BUNDLE, "The statement")
        if kind != STATEMENT or not any(key.name == origin for key in known) or canonical(said).decode() != body:
            raise ValueError
        if type(said["bytes"]) is not int or type(said["entry"]) is not int:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        raise _bad("statement", "The lab with this key has not signed that it let this out.") from None
    differing = [name for name in _SAME if said.get(name) != document[name]]
    if said.get("keys") != hashlib.sha256(canonical(document["keys"])).hexdigest():
        differing.append("keys")
    if differing:
        why = f"The lab's statement is about another export: it differs in {', '.join(differing)}."
        raise _bad("statement_differs", why)
    return dict(said)


def _certified(document: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """The producer's key must be certified for this very save, by the key that the statement names."""
    certificate = document["certificate"]
    place: tuple[Any, ...] = ()
    try:
        save, signature = certificate["statement"], _bytes(certificate["signature"])
        held = _verifies(_bytes(said["certifier"]), signature, canonical(save))
        place = (save["type"], save["id"], save["version"], save["tenant"], save["model"], save["signer"])
    except (ValueError, TypeError, KeyError, binascii.Error):
        held = False
    names = ("save", "version", "tenant", "model", "signer")
    if not held or place != ("weighthouse/manifest-key/1", *(document[name] for name in names)):
        raise _bad("certificate", "The key that signed the manifest is not certified by the lab for this save.")


def _proven(document: Mapping[str, Any], said: Mapping[str, Any], known: Sequence[_Key]) -> None:
    """The version's own line must lie in the lab's log, and name the same manifest."""
    leaf = _bytes(document["entry"])
    try:
        head, _, note = document["proof"].partition("\n\n")
        lines = head.split("\n")
        kind, index = lines[0], lines[1].removeprefix("index ")
        origin, size, root = _signed(note, known)[:3]
        path = [_bytes(line) for line in lines[2:]]
        if kind != PROOF or str(said["entry"]) != index or not any(key.name == origin for key in known):
            raise ValueError
        if not 0 <= int(index) < int(size) or _climb(int(index), int(size), leaf, path) != _bytes(root):
            raise ValueError
    except (ValueError, IndexError, AttributeError, binascii.Error):
        raise _bad(
            "proof", "The line of this version is not proven to be in the log of the lab with this key."
        ) from None
    line = strict_json(leaf, BUNDLE, "The line of the log")
    if line["kind"] != SEALED or any(
        line["data"][name] != document[name] for name in ("version", "model", "save", "digest")
    ):
        raise _bad("entry_differs", "The line of the log in the bundle is about another version or manifest.")


def _climb(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """The root that an inclusion path leads to (RFC 6962, section 2.1.1)."""
    node, last = hashlib.sha256(b"\x00" + leaf).digest(), size - 1
    for hash_ in path:
        if len(hash_) != 32 or last == 0:
            raise ValueError
        if index % 2 or index == last:
            node = hashlib.sha256(b"\x01" + hash_ + node).digest()
            while index and not index % 2:
                index, last = index // 2, last // 2
        else:
            node = hashlib.sha256(b"\x01" + node + hash_).digest()
        index, last = index // 2, last // 2
    if last:
        raise ValueError
    return node


def _verifies(public: bytes, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _bytes(text: str) -> bytes:
    """Decode base64 in its one spelling."""
    value = base64.b64decode(text, validate=True)
    if not value or not hmac.compare_digest(base64.b64encode(value), text.encode()):
        raise ValueError
    return value


def _bad(what: str, why: str) -> CheckpointError:
    return CheckpointError("bundle." + what, why, _AGAIN)
