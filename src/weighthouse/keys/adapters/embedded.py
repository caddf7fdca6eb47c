"""The sealed local key hierarchy: one file, a root, KEKs in versions. The one-machine default of the key service.

Guards keys from the disk and the database; it does not guard them from whoever can read this process's memory, which
is what a KMS or an HSM adds. Signing keys are derived from the root; KEKs are random, so that destroying one really
destroys what it wrapped. A wrapped data key is bound to KEK name, version and context by AES-256-GCM.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from weighthouse.core.canonical import utf8
from weighthouse.core.clock import Clock, Millis, SystemClock
from weighthouse.core.errors import Denied, Invalid, Unavailable, WeighthouseError
from weighthouse.core.ids import check_slug
from weighthouse.core.signing import MemorySigners, Signer, derive
from weighthouse.keys.adapters.sealed_file import SealedFile
from weighthouse.keys.model import DataKey, Health, KekInfo, Wrapped

_BLOB = struct.Struct(">2sI12s")
_MAGIC = b"W1"
_KEY = 32


class SealedKeys:
    """KeyService and Signers over one sealed file. Safe for threads, and for several processes on one file."""

    def __init__(self, file: SealedFile, contents: dict[str, Any], clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.RLock()
        self._contents = contents
        self._signers = MemorySigners(derive(_bytes(contents["root"]), "signers"))

    def __repr__(self) -> str:
        return "SealedKeys(…)"

    @classmethod
    def create(cls, path: Path, passphrase: str, *, cost: int = 1 << 16, clock: Clock | None = None) -> SealedKeys:
        """Make a new hierarchy sealed by `passphrase`; raises `keys.file_exists`, `keys.weak_passphrase`."""
        contents: dict[str, Any] = {"root": _text(os.urandom(_KEY)), "keks": {}}
        return cls(SealedFile.create(path, passphrase, contents, cost=cost), contents, clock or SystemClock())

    @classmethod
    def open(cls, path: Path, passphrase: str, *, clock: Clock | None = None) -> SealedKeys:
        """Open an existing hierarchy; raises `keys.no_file`, `keys.bad_file`, `keys.passphrase`."""
        file, contents = SealedFile.open(path, passphrase)
        return cls(file, contents, clock or SystemClock())

    def signer(self, purpose: str) -> Signer:
        """The Ed25519 signer for a purpose, derived from the root (core.signing.Signers)."""
        return self._signers.signer(purpose)

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA-256 under a key derived from the root for `purpose` (core.signing.Signers)."""
        return self._signers.mac(purpose, data)

    def generate(self, kek: str, contexts: Sequence[bytes]) -> list[DataKey]:
        with self._lock:
            if check_slug(kek) not in self._current():
                self._change(kek, lambda state, now: None)
            version, key = self._newest(kek)
        made = [os.urandom(_KEY) for _ in contexts]
        if len(set(made)) != len(made) or any(not any(each) for each in made):
            raise _down("the operating system's random generator repeats itself")
        return [
            DataKey(each, Wrapped(kek, version, _wrap(key, kek, version, each, context)))
            for each, context in zip(made, contexts, strict=True)
        ]

    def unwrap(self, kek: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        return [self._open(kek, blob, context) for blob, context in items]

    def rewrap(self, kek: str, items: Sequence[tuple[bytes, bytes]]) -> list[Wrapped]:
        plain = self.unwrap(kek, items)
        with self._lock:
            version, key = self._newest(kek)
        return [
            Wrapped(kek, version, _wrap(key, kek, version, each, context))
            for each, (_, context) in zip(plain, items, strict=True)
        ]

    def rotate(self, kek: str) -> int:
        def next_version(state: dict[str, Any], now: Millis) -> None:
            state["current"] += 1
            state["keys"][str(state["current"])] = _text(os.urandom(_KEY))
            state["made"] = now

        with self._lock:
            self._existing(kek)
            self._change(kek, next_version)
            return int(self._current()[kek]["current"])

    def set_minimum(self, kek: str, version: int) -> None:
        with self._lock:
            state = self._existing(kek)
            if not state["minimum"] <= version <= state["current"]:
                raise Invalid(
                    "keys.bad_minimum",
                    f"The minimum of '{kek}' can be set from {state['minimum']} to {state['current']}.",
                    "Rotate first; a minimum never goes down.",
                )
            self._change(kek, lambda kept, now: kept.update(minimum=version))

    def destroy(self, kek: str) -> None:
        with self._lock:
            self._existing(kek)
            self._change(kek, lambda kept, now: kept.update(destroyed=True, keys={}))

    def retire(self, kek: str, version: str) -> None:
        with self._lock:
            self._existing(kek)
            self._change(kek, lambda kept, now: kept.update(retired=sorted({*kept.get("retired", ()), version})))

    def describe(self) -> list[KekInfo]:
        with self._lock:
            return [
                KekInfo(name, kept["current"], kept["minimum"], kept["made"], kept["destroyed"])
                for name, kept in sorted(self._current().items())
            ]

    def health(self) -> Health:
        try:
            self._file.read()
        except WeighthouseError as error:
            return Health(False, "sealed file", error.message)
        return Health(True, "sealed file", "Keys are in this process's memory, as without a KMS they must be.")

    def _current(self) -> dict[str, Any]:
        keks: dict[str, Any] = self._contents["keks"]
        return keks

    def _existing(self, kek: str) -> dict[str, Any]:
        if kek not in self._current() and self._file.changed():
            self._reload()
        state: dict[str, Any] | None = self._current().get(kek)
        if state is None:
            # Which KEKs exist is nobody's business who presents a key that is not theirs.
            raise _wrong()
        return state

    def _newest(self, kek: str) -> tuple[int, bytes]:
        if self._file.changed():
            self._reload()
        state = self._existing(kek)
        if state["destroyed"]:
            raise _destroyed(kek)
        return state["current"], _bytes(state["keys"][str(state["current"])])

    def _open(self, kek: str, blob: bytes, context: bytes) -> bytes:
        if len(blob) != _BLOB.size + _KEY + 16 or blob[:2] != _MAGIC:
            raise _wrong()
        _, version, nonce = _BLOB.unpack(blob[: _BLOB.size])
        with self._lock:
            if self._file.changed():
                self._reload()
            state = self._existing(kek)
            if state["destroyed"]:
                raise _destroyed(kek)
            if "retired" in state and _version_of(context) in state["retired"]:
                raise _destroyed(kek)
            if 0 < version < state["minimum"]:
                raise Denied(
                    "keys.version_too_old",
                    f"The data key is wrapped under version {version} of '{kek}', which is no longer accepted.",
                    "Rewrap it from a trusted copy; if nobody can, the version is lost as intended.",
                )
            key = state["keys"].get(str(version))
        if key is None:
            raise _wrong()
        try:
            return AESGCM(_bytes(key)).decrypt(nonce, blob[_BLOB.size :], _bound(kek, version, context))
        except InvalidTag:
            raise _wrong() from None

    def _reload(self) -> None:
        self._contents = self._file.read()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock, self._file.locked():
            if self._file.changed():
                self._reload()
            yield

    def _change(self, kek: str, change: Any) -> None:
        """Apply `change(state, now)` to one KEK (made if it is new), on the newest contents, and make it durable."""
        try:
            with self._exclusive():
                now = self._clock.now()
                draft = {**self._contents, "keks": dict(self._current())}
                kept = draft["keks"].get(kek)
                if kept is None:
                    key = _text(os.urandom(_KEY))
                    kept = {"current": 1, "minimum": 1, "keys": {"1": key}, "made": now, "destroyed": False}
                kept = {**kept, "keys": dict(kept["keys"])}
                if kept["destroyed"]:
                    return
                change(kept, now)
                draft["keks"][kek] = kept
                self._file.write(draft)
                self._contents = draft
        except OSError as error:
            raise _down(f"the key file cannot be written ({error.strerror})") from None


def _version_of(context: bytes) -> str:
    """The version that a context belongs to; the caller made the context, and another one would not unwrap."""
    try:
        return str(json.loads(utf8(context))["version"])
    except (ValueError, KeyError, TypeError):
        return ""


def _bound(kek: str, version: int, context: bytes) -> bytes:
    return b"weighthouse kek v1\x00" + kek.encode() + struct.pack(">BI", 0, version) + context


def _wrap(key: bytes, kek: str, version: int, plain: bytes, context: bytes) -> bytes:
    nonce = os.urandom(12)
    box = AESGCM(key).encrypt(nonce, plain, _bound(kek, version, context))
    return _BLOB.pack(_MAGIC, version, nonce) + box


def _wrong() -> Denied:
    return Denied(
        "keys.wrong_context",
        "A wrapped data key does not belong to this place.",
        "Tell security: somebody moved or altered it. The right one is in the newest backup of the database.",
    )


def _destroyed(kek: str) -> Denied:
    return Denied("keys.destroyed", f"The keys of '{kek}' were destroyed on purpose.", "Nothing can bring them back.")


def _down(why: str) -> Unavailable:
    return Unavailable(
        "keys.unavailable", f"The key service cannot answer: {why}.", "Repair it; nothing was released."
    )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(value: str) -> bytes:
    return base64.b64decode(value)
