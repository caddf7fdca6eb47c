"""The key file: secrets sealed by a passphrase. Guards the root of all keys from whoever copies the disk.

scrypt (RFC 7914) turns the passphrase into a key, AES-256-GCM seals the contents, and the header (work factor, salt)
is bound as associated data. The plain contents exist in memory only; each write makes a new file, syncs it, and
renames it over the old one, so that a crash leaves the old file or the new one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from weighthouse.core.errors import Conflict, Invalid, Unavailable
from weighthouse.keys.adapters import file_lock, key_form, passphrase_text
from weighthouse.keys.adapters.key_form import Box, Contents, Kdf

FORMAT = key_form.FORMATS[-1]
MAX_FILE = 16 << 20
Mark = tuple[int, ...]


class Found(msgspec.Struct, frozen=True):
    """The contents of one file, and the file that they were in. A later look tells another file from it."""

    contents: Contents
    mark: Mark


class SealedFile:
    """A sealed document at `path`. Holds the derived key, never the passphrase."""

    def __init__(self, path: Path, kdf: Kdf, key: bytes) -> None:
        self.path = path
        self._kdf = kdf
        self._key = key

    @classmethod
    def create(cls, path: Path, passphrase: str, contents: Contents, *, cost: int) -> tuple[SealedFile, Found]:
        """Make a new key file; refuse to replace one (`keys.file_exists`) and weak passphrases."""
        normal = passphrase_text.strong(passphrase)
        if os.path.lexists(path):
            raise Conflict(
                "keys.file_exists",
                f"There is a key file at {path} already; replacing it would destroy every checkpoint's key.",
                "Use another state folder, or open the existing file.",
            )
        made = cls.under(path, normal, cost=cost)
        return made, made.write(contents)

    @classmethod
    def under(cls, path: Path, passphrase: str, *, cost: int) -> SealedFile:
        """What will lie at `path` sealed by `passphrase`, under a salt of its own; `write` puts it there."""
        if not key_form.MIN_COST <= cost <= key_form.MAX_COST or cost & (cost - 1):
            why = f"The work factor {cost} is no power of two from {key_form.MIN_COST} to {key_form.MAX_COST}."
            raise Invalid("keys.bad_cost", why, "Use one: a file made with another could not be opened again.")
        kdf = Kdf(name="scrypt", n=cost, r=8, p=1, salt=os.urandom(key_form.SALT))
        return cls(path, kdf, _derive(kdf, passphrase))

    @classmethod
    def open(cls, path: Path, passphrase: str) -> tuple[SealedFile, Found]:
        """Open a key file: `keys.no_file`, `keys.bad_file`, `keys.file_mode` or `keys.passphrase` if it cannot be."""
        kdf = _read(path)[0].kdf
        refused = _closed(path)
        for spelt in passphrase_text.spellings(passphrase):
            opened = cls(path, kdf, _derive(kdf, spelt))
            try:
                return opened, opened.read()
            except Unavailable as error:
                if error.code != "keys.passphrase":
                    raise
        raise refused

    def elsewhere(self, path: Path) -> SealedFile:
        """The same seal over a copy of the file, for a copy of the system."""
        return SealedFile(path, self._kdf, self._key)

    def sealed_by(self, passphrase: str) -> SealedFile:
        """The same path under another passphrase, with the same work factor; `keys.same_passphrase` if it is none."""
        normal = passphrase_text.strong(passphrase)
        if any(_derive(self._kdf, each) == self._key for each in passphrase_text.spellings(normal)):
            raise Invalid(
                "keys.same_passphrase",
                "The new passphrase of the key file is the one that it has.",
                "Use at least four other random words.",
            )
        return self.under(self.path, normal, cost=self._kdf.n)

    def read(self) -> Found:
        """Unseal the contents as they are on disk now."""
        box, mark = _read(self.path)
        try:
            plain = AESGCM(self._key).decrypt(box.nonce, box.box, box.header())
        except InvalidTag:
            raise _closed(self.path) from None
        return Found(key_form.parse_contents(plain, box.format, self.path.name), mark)

    def write(self, contents: Contents) -> Found:
        """Seal and replace the file; durable when this returns. What `_read` would not take is never written."""
        nonce = os.urandom(key_form.NONCE)
        header = Box(format=FORMAT, kdf=self._kdf, nonce=nonce, box=b"").header()
        box = AESGCM(self._key).encrypt(nonce, msgspec.json.encode(contents), header)
        sealed = Box(format=FORMAT, kdf=self._kdf, nonce=nonce, box=box)
        raw = msgspec.json.format(msgspec.json.encode(sealed), indent=1)
        if len(raw) > MAX_FILE:
            why = f"The key file would have {len(raw)} bytes; the limit is {MAX_FILE}. It stays as it was."
            raise Unavailable(
                "keys.full", why, "Retire no more versions one by one: destroy the keys of whole models."
            )
        return Found(contents, self._replace(raw))

    def _replace(self, raw: bytes) -> Mark:
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            try:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
                fresh.replace(self.path)
            except OSError:
                with suppress(OSError):
                    fresh.unlink()
                raise
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            return _mark(os.fstat(file.fileno()))

    def mark(self) -> Mark:
        """Which file lies there now; `keys.no_file` when none does, whatever is in memory."""
        try:
            return _mark(self.path.lstat())
        except OSError as error:
            raise _no_file(self.path, error) from None

    @contextmanager
    def locked(self, wait_s: float) -> Iterator[None]:
        """Hold the lock that writers in all processes take; `keys.busy` when it is not free within `wait_s`."""
        with file_lock.held(self.path.with_name(self.path.name + ".lock"), wait_s):
            yield


def _mark(found: os.stat_result) -> Mark:
    # The time of change is the kernel's own: whoever writes into the file cannot set it back, as they can the others.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _no_file(path: Path, error: OSError) -> Unavailable:
    remedy = "Put it back, from a backup if need be; for a new system, run `weighthouse init`."
    return Unavailable("keys.no_file", f"The key file {path} cannot be opened: {error.strerror}.", remedy)


def _closed(path: Path) -> Unavailable:
    return Unavailable(
        "keys.passphrase",
        f"The key file {path.name} does not open: wrong passphrase, or the file was altered.",
        "Give the passphrase it was made with, or restore the file from a backup.",
    )


def _read(path: Path) -> tuple[Box, Mark]:
    try:
        # Without O_NONBLOCK a pipe that nobody writes to would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _no_file(path, error) from None
    try:
        found = os.fstat(descriptor)
        _check(path, found)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _no_file(path, error) from None
    finally:
        os.close(descriptor)
    if len(raw) > MAX_FILE:
        raise key_form.bad(path.name, f"it has more than {MAX_FILE} bytes")
    return key_form.parse_box(raw, path.name), _mark(found)


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise key_form.bad(path.name, "it is no regular file")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Unavailable(
            "keys.file_mode",
            f"The key file {path} may be read or written by others (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"Type: chmod 600 {path}. If others may have read it, treat it as leaked.",
        )


def _derive(kdf: Kdf, passphrase: str) -> bytes:
    return Scrypt(salt=kdf.salt, length=key_form.KEY, n=kdf.n, r=kdf.r, p=kdf.p).derive(passphrase.encode())
