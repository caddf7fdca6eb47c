"""The key file: secrets sealed by a passphrase. Guards the root of all keys from whoever copies the disk.

scrypt (RFC 7914) turns the passphrase into a key, AES-256-GCM seals the contents, and the header (work factor, salt)
is bound as associated data. The plain contents exist in memory only; each write makes a new file, syncs it, and
renames it over the old one, so that a crash leaves the old file or the new one.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from weighthouse.core.canonical import encode, utf8
from weighthouse.core.errors import Conflict, Invalid, Unavailable

FORMAT = "weighthouse-sealed-keys/1"
_MAX_FILE = 16 << 20
_MAX_COST = 1 << 20
MIN_PASSPHRASE = 12


class SealedFile:
    """A sealed document at `path`. Holds the derived key, never the passphrase."""

    def __init__(self, path: Path, header: dict[str, Any], key: bytes) -> None:
        self.path = path
        self._header = header
        self._box = AESGCM(key)
        self._seen: tuple[int, int] | None = None

    @classmethod
    def create(cls, path: Path, passphrase: str, contents: dict[str, Any], *, cost: int) -> SealedFile:
        """Make a new key file; refuse to replace one (`keys.file_exists`) and weak passphrases."""
        if len(passphrase) < MIN_PASSPHRASE:
            raise Invalid(
                "keys.weak_passphrase",
                f"The passphrase of the key file has fewer than {MIN_PASSPHRASE} characters.",
                "Use at least four random words.",
            )
        if path.exists():
            raise Conflict(
                "keys.file_exists",
                f"There is a key file at {path} already; replacing it would destroy every checkpoint's key.",
                "Use another state folder, or open the existing file.",
            )
        if not 1 << 10 <= cost <= _MAX_COST:
            why = f"The work factor {cost} is outside 1024 to {_MAX_COST}, so the file could not be opened again."
            raise Invalid("keys.bad_cost", why, "Use a power of two in that range.")
        kdf = {"name": "scrypt", "n": cost, "r": 8, "p": 1, "salt": base64.b64encode(os.urandom(32)).decode()}
        header = {"format": FORMAT, "kdf": kdf}
        made = cls(path, header, _derive(kdf, passphrase))
        made.write(contents)
        return made

    @classmethod
    def open(cls, path: Path, passphrase: str) -> tuple[SealedFile, dict[str, Any]]:
        """Open a key file: `keys.no_file`, `keys.bad_file` or `keys.passphrase` when it cannot be."""
        header, _, _ = _read(path)
        opened = cls(path, header, _derive(header["kdf"], passphrase))
        return opened, opened.read()

    def read(self) -> dict[str, Any]:
        """Unseal the contents as they are on disk now."""
        header, nonce, box = _read(self.path)
        try:
            plain = self._box.decrypt(nonce, box, encode(header))
        except InvalidTag:
            raise Unavailable(
                "keys.passphrase",
                f"The key file {self.path.name} does not open: wrong passphrase, or the file was altered.",
                "Give the passphrase it was made with, or restore the file from a backup.",
            ) from None
        contents: dict[str, Any] = json.loads(utf8(plain))
        self._seen = self._mark()
        return contents

    def write(self, contents: dict[str, Any]) -> None:
        """Seal and replace the file; durable when this returns. What `_read` would not take is never written."""
        nonce = os.urandom(12)
        box = self._box.encrypt(nonce, encode(contents), encode(self._header))
        raw = json.dumps({**self._header, "nonce": _text(nonce), "box": _text(box)}, indent=1).encode()
        if len(raw) > _MAX_FILE:
            why = f"The key file would have {len(raw)} bytes; the limit is {_MAX_FILE}. It stays as it was."
            raise Unavailable(
                "keys.full", why, "Retire no more versions one by one: destroy the keys of whole models."
            )
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._seen = self._mark()

    def changed(self) -> bool:
        """Whether another process has written the file since this one read or wrote it.

        A file that is gone is no file to answer from, even though its keys are still in memory: `keys.no_file`.
        """
        try:
            return self._mark() != self._seen
        except OSError as error:
            raise _no_file(self.path, error) from None

    def _mark(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that writers in all processes take."""
        name = self.path.with_name(self.path.name + ".lock")
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _no_file(path: Path, error: OSError) -> Unavailable:
    remedy = "Put it back, from a backup if need be; for a new system, run `weighthouse init`."
    return Unavailable("keys.no_file", f"The key file {path} cannot be opened: {error.strerror}.", remedy)


def _read(path: Path) -> tuple[dict[str, Any], bytes, bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _no_file(path, error) from None
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(_MAX_FILE + 1)
    try:
        document = json.loads(utf8(raw))
        nonce, box = base64.b64decode(document.pop("nonce")), base64.b64decode(document.pop("box"))
        kdf = document["kdf"]
        # The work factor is bounded before it is used: a planted file must not make the server take all memory.
        sane = set(document) == {"format", "kdf"} and document["format"] == FORMAT and kdf["name"] == "scrypt"
        if not sane or not 1 << 10 <= kdf["n"] <= _MAX_COST or (kdf["r"], kdf["p"]) != (8, 1) or len(raw) > _MAX_FILE:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unavailable(
            "keys.bad_file", f"The key file {path.name} is malformed.", "Restore it from a backup."
        ) from None
    return document, nonce, box


def _derive(kdf: dict[str, Any], passphrase: str) -> bytes:
    salt = base64.b64decode(kdf["salt"])
    return Scrypt(salt=salt, length=32, n=kdf["n"], r=kdf["r"], p=kdf["p"]).derive(passphrase.encode())
