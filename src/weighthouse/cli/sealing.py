"""Local files: seal and open with FLOE, and check ciphertext against its manifest. Guards files off this machine.

A key lies in a file of its own that only its owner may read, never on the command line; each file is sealed under a
key derived for it alone. Checking ciphertext needs no key: its hashes lead to the manifest that the control plane
remembers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from weighthouse.core.canonical import utf8
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound

if TYPE_CHECKING:
    from weighthouse_sdk.manifest import Manifest, Shard

MAGIC = b"weighthouse/sealed-file/1\n"
SALT = 32
Step = Callable[[int], object]


def read_key(path: Path, *, make: bool = False) -> bytes:
    """Return the 32-byte key in `path`, making it (mode 0600) when asked; refuse one that others may read."""
    if make and not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(32))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise NotFound(
            "cli.no_key_file", f"{path} cannot be read: {error.strerror}.", "Name the key's file."
        ) from None
    with os.fdopen(handle, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise Denied("cli.key_exposed", f"Others may read {path}.", f"chmod 600 {path}, or use another key.")
        key = file.read(33)
    if len(key) != 32:
        raise Invalid("cli.bad_key_file", f"{path} does not hold a key of 32 bytes.", "Name the file made by `seal`.")
    return key


def _derived(key: bytes, salt: bytes) -> bytes:
    """FLOE wants a key for one file only; the salt in the file's head makes it so (HKDF, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt, MAGIC).derive(key)


def create(target: Path) -> int:
    """Make a new file that only its owner may read, and nothing where one is."""
    try:
        return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise Conflict("cli.file_exists", f"{target} exists already.", "Choose another name with -o.") from None


def seal(source: Path, target: Path, key: bytes, step: Step) -> None:
    """Encrypt `source` into the new file `target`; a failure leaves no file behind."""
    from weighthouse_sdk import floe

    salt = os.urandom(SALT)
    encryptor = floe.Encryptor(_derived(key, salt), MAGIC)
    size = encryptor.parameters.plain
    shape = floe.shape_of_plaintext(source.stat().st_size)
    out = memoryview(bytearray(encryptor.parameters.segment))
    cipher = encryptor.cipher()
    with source.open("rb") as plain, os.fdopen(create(target), "wb") as sealed:
        try:
            sealed.write(MAGIC + salt + encryptor.header)
            for position in range(shape.segments):
                final = position == shape.segments - 1
                piece = plain.read(size)
                length = cipher.seal_into(position, final, piece, out)
                sealed.write(out[:length])
                step(len(piece))
            if plain.read(1):
                raise Conflict("cli.file_changed", f"{source} grew while it was sealed.", "Seal it again.")
        except BaseException:
            target.unlink()
            raise


def open_sealed(source: Path, target: Path, key: bytes, step: Step) -> None:
    """Decrypt `source` into the new file `target`, readable by its owner; a failure leaves no plain file behind."""
    from weighthouse_sdk import floe

    with source.open("rb") as sealed:
        head = sealed.read(len(MAGIC) + SALT)
        if len(head) != len(MAGIC) + SALT or not head.startswith(MAGIC):
            raise Invalid(
                "cli.not_sealed",
                f"{source} is no sealed file.",
                "Check its name; `weighthouse weights seal SOURCE --key FILE` makes one.",
            )
        shape = floe.shape_of_ciphertext(source.stat().st_size - len(head))
        decryptor = floe.Decryptor(_derived(key, head[len(MAGIC) :]), MAGIC, sealed.read(floe.HEADER_BYTES))
        cipher, segment = decryptor.cipher(), decryptor.parameters.segment
        out = memoryview(bytearray(segment))
        with os.fdopen(create(target), "wb") as plain:
            try:
                for position in range(shape.segments):
                    final = position == shape.segments - 1
                    piece = memoryview(sealed.read(shape.last if final else segment))
                    length = cipher.open_into(position, final, piece, out)
                    plain.write(out[:length])
                    step(length)
            except BaseException:
                target.unlink()
                raise


def read_manifest(path: Path, digest: str) -> Manifest:
    """Return the manifest in `path` if it is the one that the control plane remembers as `digest`."""
    import base64
    import binascii
    import json

    from weighthouse_sdk import manifest

    try:
        payload = base64.b64decode(json.loads(utf8(path.read_bytes()))["payload"], validate=True)
    except (OSError, ValueError, KeyError, TypeError, binascii.Error):
        raise Invalid(
            "cli.bad_manifest", f"{path} is not a signed manifest.", "Fetch it again from storage."
        ) from None
    if manifest.digest_of(payload) != digest:
        raise Invalid(
            "cli.other_manifest",
            f"{path} is not the manifest that the control plane remembers for this version.",
            "It is of another version, an older one, or altered. Fetch it again; tell security if it happens again.",
        )
    return manifest.parse(payload)


def check_shard(folder: Path, shard: Shard, step: Step) -> str:
    """Hash the ciphertext of one shard; return what is wrong with it, or an empty text."""
    from blake3 import blake3

    from weighthouse_sdk import floe
    from weighthouse_sdk.manifest_merkle import leaf_hash, root_of

    path = folder / f"{shard.id}.floe"
    if not path.is_file() or path.is_symlink():
        return "it is missing"
    if path.stat().st_size != shard.ciphertext:
        return f"it has {path.stat().st_size} bytes, {shard.ciphertext} were signed"
    leaves = []
    with path.open("rb") as file:
        head = file.read(floe.HEADER_BYTES)
        if blake3(head).hexdigest() != shard.header:
            return "its header is not the one that was signed"
        while piece := file.read(floe.GCM256_IV256_1M.segment):
            leaves.append(leaf_hash(piece))
            step(len(piece))
    return "" if root_of(leaves).hex() == shard.root else "its bytes are not those that were signed"
