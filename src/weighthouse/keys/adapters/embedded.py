"""The sealed local key hierarchy: one file, a root, KEKs in versions. The one-machine default of the key service.

Guards keys from the disk and the database; it does not guard them from whoever can read this process's memory, which
is what a KMS or an HSM adds. Signing keys are derived from the root; KEKs are random, so that destroying one really
destroys what it wrapped. A wrapped data key is bound to KEK name, version and context by AES-256-GCM.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from weighthouse.core.canonical import utf8
from weighthouse.core.clock import Clock, Millis, SystemClock
from weighthouse.core.errors import Denied, Invalid, Unavailable, WeighthouseError
from weighthouse.core.ids import check_slug
from weighthouse.core.signing import MemorySigners, Signer, derive
from weighthouse.keys.adapters import file_lock
from weighthouse.keys.adapters.key_form import KEY, Contents, Kek
from weighthouse.keys.adapters.sealed_file import Found, SealedFile
from weighthouse.keys.model import DataKey, Health, KekInfo, Wrapped

_BLOB = struct.Struct(">2sI12s")
_MAGIC = b"W1"
WAIT_S = 1.0
"""How long a change waits for other writers: it may be asked for while the database's writer is held."""
WAIT_LONG_S = 10.0
"""The same where nobody waits for it, and what would be lost is an end that the log has said already."""


class SealedKeys:
    """KeyService and Signers over one sealed file. Safe for threads, and for several processes on one file.

    `_lock` guards what is held and is never kept while anything is waited for, so that whoever keeps the file's own
    lock stops writers for a moment and readers never. `_writing` lets one thread of this process change the file.
    """

    def __init__(self, file: SealedFile, found: Found, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._held = found
        self._signers = MemorySigners(derive(found.contents.root, "signers"))

    def __repr__(self) -> str:
        return "SealedKeys(…)"

    @classmethod
    def create(cls, path: Path, passphrase: str, *, cost: int = 1 << 16, clock: Clock | None = None) -> SealedKeys:
        """Make a new hierarchy sealed by `passphrase`; raises `keys.file_exists`, `keys.weak_passphrase`."""
        contents = Contents(root=os.urandom(KEY), keks={}, edition=1)
        return cls(*SealedFile.create(path, passphrase, contents, cost=cost), clock or SystemClock())

    @classmethod
    def open(cls, path: Path, passphrase: str, *, clock: Clock | None = None) -> SealedKeys:
        """Open an existing hierarchy; raises `keys.no_file`, `keys.bad_file`, `keys.file_mode`, `keys.passphrase`."""
        return cls(*SealedFile.open(path, passphrase), clock or SystemClock())

    def elsewhere(self, path: Path, clock: Clock | None = None) -> SealedKeys:
        """The hierarchy that lies at `path`, a copy of this one's file, as after a start there."""
        file = self._file.elsewhere(path)
        return SealedKeys(file, file.read(), clock or self._clock)

    def signer(self, purpose: str) -> Signer:
        """The Ed25519 signer for a purpose, derived from the root (core.signing.Signers)."""
        return self._signers.signer(purpose)

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA-256 under a key derived from the root for `purpose` (core.signing.Signers)."""
        return self._signers.mac(purpose, data)

    def generate(self, kek: str, contexts: Sequence[bytes]) -> list[DataKey]:
        if check_slug(kek) not in self._now().keks:
            self._change(kek, lambda kept, now: kept or _first(now))
        version, key = self._newest(kek)
        made = [os.urandom(KEY) for _ in contexts]
        if len(set(made)) != len(made) or any(not any(each) for each in made):
            raise _down("the operating system's random generator repeats itself")
        return [
            DataKey(each, Wrapped(kek, version, _wrap(key, kek, version, each, context)))
            for each, context in zip(made, contexts, strict=True)
        ]

    def unwrap(self, kek: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        kept = self._existing(kek)
        return [_open(kek, kept, blob, context) for blob, context in items]

    def rewrap(self, kek: str, items: Sequence[tuple[bytes, bytes]]) -> list[Wrapped]:
        plain = self.unwrap(kek, items)
        version, key = self._newest(kek)
        return [
            Wrapped(kek, version, _wrap(key, kek, version, each, context))
            for each, (_, context) in zip(plain, items, strict=True)
        ]

    def rotate(self, kek: str, *, past: int = 0, minimum: int = 0) -> int:
        def next_version(kept: Kek | None, now: Millis) -> Kek:
            kept = kept or _first(now)
            current = max(kept.current, past) + 1
            keys = {**kept.keys, str(current): os.urandom(KEY)}
            least = max(kept.minimum, min(minimum, current))
            return msgspec.structs.replace(kept, current=current, minimum=least, keys=keys, made=now)

        if not past:
            self._existing(kek)
        return self._change(check_slug(kek), next_version).current

    def set_minimum(self, kek: str, version: int) -> None:
        def raised(kept: Kek, now: Millis) -> Kek:
            if not kept.minimum <= version <= kept.current:
                raise Invalid(
                    "keys.bad_minimum",
                    f"The minimum of '{kek}' can be set from {kept.minimum} to {kept.current}.",
                    "Rotate first; a minimum never goes down.",
                )
            return msgspec.structs.replace(kept, minimum=version)

        self._changed(kek, raised)

    def destroy(self, kek: str) -> None:
        gone = {"destroyed": True, "keys": {}}
        self._changed(kek, lambda kept, now: msgspec.structs.replace(kept, **gone), wait_s=WAIT_LONG_S)

    def retire(self, kek: str, version: str) -> None:
        def without(kept: Kek, now: Millis) -> Kek:
            return msgspec.structs.replace(kept, retired=tuple(sorted({*kept.retired, version})))

        self._changed(kek, without, wait_s=WAIT_LONG_S)

    def version_of(self, blob: bytes) -> int:
        return _version_in(blob)

    def new_passphrase(self, passphrase: str) -> SealedKeys:
        """The same keys, sealed by another passphrase under a salt of its own; the old one opens no newer file.

        Raises `keys.weak_passphrase`, `keys.same_passphrase`. This object goes on with the old one, and must not.
        """
        with self._exclusive(WAIT_LONG_S):
            held = self._now()
            file = self._file.sealed_by(passphrase)
            try:
                found = file.write(msgspec.structs.replace(held, edition=held.edition + 1))
            except OSError as error:
                raise _down(f"the key file cannot be written ({error.strerror})") from None
        return SealedKeys(file, found, self._clock)

    def find(self, kek: str) -> KekInfo | None:
        kept = self._now().keks.get(kek)
        return _info(kek, kept) if kept else None

    def describe(self) -> list[KekInfo]:
        return [_info(name, kept) for name, kept in sorted(self._now().keks.items())]

    def health(self) -> Health:
        try:
            self._seen(self._file.read())
        except WeighthouseError as error:
            return Health(False, "sealed file", error.message)
        return Health(True, "sealed file", "Keys are in this process's memory, as without a KMS they must be.")

    def _now(self) -> Contents:
        """What the file holds now, which another process may have changed, and never anything older than was seen."""
        with self._lock:
            if self._file.mark() == self._held.mark:
                return self._held.contents
            self._held = _newer(self._held, self._file.read())
            return self._held.contents

    def _seen(self, found: Found) -> None:
        with self._lock:
            self._held = _newer(self._held, found)

    def _existing(self, kek: str) -> Kek:
        kept = self._now().keks.get(kek)
        if kept is None:
            # Which KEKs exist is nobody's business who presents a key that is not theirs.
            raise _wrong()
        return kept

    def _newest(self, kek: str) -> tuple[int, bytes]:
        kept = self._existing(kek)
        if kept.destroyed:
            raise _destroyed(kek)
        return kept.current, kept.keys[str(kept.current)]

    @contextmanager
    def _exclusive(self, wait_s: float) -> Iterator[None]:
        """One writer, of all threads and processes; `keys.busy` after `wait_s`. Readers go on all the while."""
        deadline = time.monotonic() + wait_s
        if not self._writing.acquire(timeout=wait_s):
            raise file_lock.busy("its turn")
        try:
            with self._file.locked(max(0.0, deadline - time.monotonic())):
                yield
        finally:
            self._writing.release()

    def _changed(self, kek: str, change: Callable[[Kek, Millis], Kek], wait_s: float = WAIT_S) -> Kek:
        self._existing(kek)
        return self._change(kek, lambda kept, now: change(kept or _first(now), now), wait_s)

    def _change(self, kek: str, change: Callable[[Kek | None, Millis], Kek], wait_s: float = WAIT_S) -> Kek:
        """Apply `change` to one KEK (None if it is new), on the newest contents, and make it durable."""
        try:
            with self._exclusive(wait_s):
                held = self._now()
                kept = held.keks.get(kek)
                if kept is not None and kept.destroyed:
                    return kept
                after = change(kept, self._clock.now())
                if after != kept:
                    keks = {**held.keks, kek: after}
                    self._seen(self._file.write(Contents(root=held.root, keks=keks, edition=held.edition + 1)))
                return after
        except OSError as error:
            raise _down(f"the key file cannot be written ({error.strerror})") from None


def _info(name: str, kept: Kek) -> KekInfo:
    return KekInfo(name, kept.current, kept.minimum, kept.made, kept.destroyed)


def _first(now: Millis) -> Kek:
    return Kek(current=1, minimum=1, keys={"1": os.urandom(KEY)}, made=now)


def _newer(held: Found, found: Found) -> Found:
    """What was found, if it is what is held or newer; another file under the same number is a fork of it."""
    older = found.contents.edition < held.contents.edition
    forked = found.contents.edition == held.contents.edition and found.contents != held.contents
    if older or forked or found.contents.root != held.contents.root:
        raise Unavailable(
            "keys.rolled_back",
            f"The key file is of edition {found.contents.edition}, and edition {held.contents.edition} was in use: "
            "an older file, or another one, was put in its place.",
            "Put the newest key file back, and ask who replaced it; nothing was released.",
        )
    return found


def _open(kek: str, kept: Kek, blob: bytes, context: bytes) -> bytes:
    version, nonce = _version_in(blob), blob[_BLOB.size - 12 : _BLOB.size]
    if kept.destroyed or (kept.retired and _version_of(context) in kept.retired):
        raise _destroyed(kek)
    if 0 < version < kept.minimum:
        raise Denied(
            "keys.version_too_old",
            f"The data key is wrapped under version {version} of '{kek}', which is no longer accepted.",
            "Rewrap it from a trusted copy; if nobody can, the version is lost as intended.",
        )
    key = kept.keys.get(str(version))
    if key is None:
        raise _wrong()
    try:
        return AESGCM(key).decrypt(nonce, blob[_BLOB.size :], _bound(kek, version, context))
    except InvalidTag:
        raise _wrong() from None


def _version_in(blob: bytes) -> int:
    if len(blob) != _BLOB.size + KEY + 16 or blob[:2] != _MAGIC:
        raise _wrong()
    return int(_BLOB.unpack(blob[: _BLOB.size])[1])


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
