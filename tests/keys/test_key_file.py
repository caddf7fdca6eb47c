"""What lies where the key file should be: another form, another kind of file, open to others. Refused by name, at once.

Each specimen is tried twice: as a file to open, and under a running service that has the right one in memory.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.adapters.key_form import FORMATS, Contents, Kek
from weighthouse.keys.adapters.sealed_file import MAX_FILE, SealedFile

PASSPHRASE = "four random words here"
KEK = "model/tern"
KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.sealed"


@pytest.fixture
def service(path: Path) -> SealedKeys:
    made = SealedKeys.create(path, PASSPHRASE, cost=1 << 10)
    made.generate(KEK, [b"here"])
    return made


def code(act: Callable[[], object]) -> str:
    with pytest.raises(WeighthouseError) as caught:
        act()
    assert caught.value.remedy
    return caught.value.code


def put(path: Path, raw: bytes) -> None:
    """Another file in its place, as a copy or a backup comes there."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(raw)


def refused(service: SealedKeys, path: Path, wanted: str) -> None:
    assert code(lambda: SealedKeys.open(path, PASSPHRASE)) == wanted
    assert code(lambda: service.generate(KEK, [b"there"])) == wanted
    assert code(service.describe) == wanted
    assert not service.health().ok


def outer(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def altered(raw: bytes) -> bytes:
        document = json.loads(raw)
        change(document)
        return json.dumps(document).encode()

    return altered


def setting(name: str, value: object, within: str = "") -> Callable[[bytes], bytes]:
    return outer(lambda document: (document[within] if within else document).update({name: value}))


def without(name: str, within: str = "") -> Callable[[bytes], bytes]:
    return outer(lambda document: (document[within] if within else document).pop(name))


OUTER: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "not JSON": lambda raw: b"keys",
    "cut short": lambda raw: raw[:-1],
    "something after it": lambda raw: raw + b"{}",
    "a list": lambda raw: b"[]",
    "a number": lambda raw: b"7",
    "null": lambda raw: b"null",
    "an empty object": lambda raw: b"{}",
    "a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "no UTF-8": lambda raw: raw.replace(b"scrypt", b"scr\xffpt"),
    "a deep list": lambda raw: b"[" * 100_000,
    "a deep field": lambda raw: raw.replace(b'"scrypt"', b"[" * 100_000 + b"]" * 100_000),
    "too large": lambda raw: raw + b" " * MAX_FILE,
    "a field twice": lambda raw: raw.replace(b'"kdf"', b'"format": "weighthouse-sealed-keys/2", "kdf"', 1),
    "another field": setting("more", 1),
    "another field of kdf": setting("more", 1, "kdf"),
    "format missing": without("format"),
    "format unknown": setting("format", "weighthouse-sealed-keys/3"),
    "format a number": setting("format", 2),
    "kdf missing": without("kdf"),
    "kdf a list": setting("kdf", []),
    "kdf null": setting("kdf", None),
    "another function": setting("name", "argon2id", "kdf"),
    "cost missing": without("n", "kdf"),
    "cost a text": setting("n", "1024", "kdf"),
    "cost a float": setting("n", 1024.0, "kdf"),
    "cost true": setting("n", True, "kdf"),
    "cost no power of two": setting("n", 1025, "kdf"),
    "cost too low": setting("n", 512, "kdf"),
    "cost too high": setting("n", 1 << 30, "kdf"),
    "cost below zero": setting("n", -1024, "kdf"),
    "cost beyond all": setting("n", 1 << 80, "kdf"),
    "blocks too large": setting("r", 1 << 20, "kdf"),
    "parallel": setting("p", 2, "kdf"),
    "salt missing": without("salt", "kdf"),
    "salt short": setting("salt", "AAAA", "kdf"),
    "salt not base64": setting("salt", "?" * 44, "kdf"),
    "salt a number": setting("salt", 5, "kdf"),
    "nonce missing": without("nonce"),
    "nonce short": setting("nonce", "AAAA"),
    "nonce long": setting("nonce", "A" * 24),
    "nonce with a blank": setting("nonce", "AAAA AAAAAAAAAAA"),
    "box missing": without("box"),
    "box empty": setting("box", ""),
    "box shorter than its tag": setting("box", "AAAAAAAAAAAAAAAAAAAAAA=="),
    "box not base64": setting("box", "ä" * 80),
    "box an object": setting("box", {}),
}


@pytest.mark.parametrize("name", OUTER)
def test_a_malformed_key_file_is_refused_by_its_name(service: SealedKeys, path: Path, name: str) -> None:
    put(path, OUTER[name](path.read_bytes()))
    refused(service, path, "keys.bad_file")


def kek(**changed: object) -> dict[str, Any]:
    return {"current": 1, "minimum": 1, "keys": {"1": KEY}, "made": 0, "destroyed": False, "retired": [], **changed}


def held(edition: object = 9, root: object = KEY, **keks: object) -> dict[str, Any]:
    return {"root": root, "keks": keks, "edition": edition}


INNER: dict[str, Any] = {
    "a list": [],
    "no fields": {},
    "no root": {"keks": {}, "edition": 9},
    "another field": {**held(), "more": 1},
    "root short": held(root="AAAA"),
    "root not base64": held(root="??"),
    "edition zero": held(0),
    "edition below zero": held(-1),
    "edition a text": held("9"),
    "edition beyond all": held(1 << 60),
    "keks a list": {"root": KEY, "keks": [], "edition": 9},
    "kek a number": held(tern=5),
    "kek with another field": held(tern=kek(more=1)),
    "a name that is none": held(**{"Tern Ä": kek()}),
    "current zero": held(tern=kek(current=0)),
    "current without a key": held(tern=kek(current=2)),
    "current beyond all": held(tern=kek(current=1 << 40, keys={str(1 << 40): KEY})),
    "minimum zero": held(tern=kek(minimum=0)),
    "minimum above current": held(tern=kek(minimum=2)),
    "a key beyond current": held(tern=kek(keys={"1": KEY, "2": KEY})),
    "a key of sixteen bytes": held(tern=kek(keys={"1": KEY[:22] + "=="})),
    "a key that is no text": held(tern=kek(keys={"1": 1})),
    "a version spelt otherwise": held(tern=kek(keys={"1": KEY, "01": KEY})),
    "a version of other digits": held(tern=kek(keys={"1": KEY, "\u0661": KEY})),
    "a version of many digits": held(tern=kek(keys={"1": KEY, "9" * 5000: KEY})),
    "no keys": held(tern=kek(keys={})),
    "destroyed, with keys": held(tern=kek(destroyed=True)),
    "destroyed a number": held(tern=kek(destroyed=1)),
    "made below zero": held(tern=kek(made=-1)),
    "retired a text": held(tern=kek(retired="ver_1")),
    "retired numbers": held(tern=kek(retired=[1])),
}


def seal(path: Path, contents: object, format_: str = FORMATS[1]) -> None:
    """A file that opens with the passphrase, whatever is in it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from weighthouse.keys.adapters.key_form import Box

    file = SealedFile.open(path, PASSPHRASE)[0]
    nonce = bytes(12)
    box = Box(format=format_, kdf=file._kdf, nonce=nonce, box=b"")
    plain = msgspec.json.encode(contents)
    sealed = msgspec.structs.replace(box, box=AESGCM(file._key).encrypt(nonce, plain, box.header()))
    put(path, msgspec.json.encode(sealed))


@pytest.mark.parametrize("name", INNER)
def test_what_opens_is_checked_as_well(service: SealedKeys, path: Path, name: str) -> None:
    seal(path, INNER[name])
    refused(service, path, "keys.bad_file")


def test_a_file_of_the_first_format_opens_and_is_of_the_second_from_its_first_change(path: Path) -> None:
    SealedKeys.create(path, PASSPHRASE, cost=1 << 10)
    first = {name: value for name, value in kek().items() if name != "retired"}  # as it was before versions could end
    seal(path, {"root": KEY, "keks": {KEK: first}}, FORMATS[0])
    service = SealedKeys.open(path, PASSPHRASE)
    assert json.loads(path.read_bytes())["format"] == FORMATS[0]
    blob = service.generate(KEK, [b"here"])[0].wrapped.blob
    assert service.rotate(KEK) == 2
    assert json.loads(path.read_bytes())["format"] == FORMATS[1]
    assert len(SealedKeys.open(path, PASSPHRASE).unwrap(KEK, [(blob, b"here")])) == 1


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (fifo, "keys.bad_file"),
    "folder": (lambda path: path.mkdir(), "keys.bad_file"),
    "device": (lambda path: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5)), "keys.bad_file"),
    "link": (lambda path: path.symlink_to("aside"), "keys.no_file"),
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), "keys.no_file"),
    "nothing": (lambda path: None, "keys.no_file"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_file_is_refused_and_never_waited_for(service: SealedKeys, path: Path, kind: str) -> None:
    make, wanted = KINDS[kind]
    aside = path.rename(path.with_name("aside"))
    make(path)
    assert code(lambda: SealedKeys.open(path, PASSPHRASE)) == wanted
    assert code(service.describe) == wanted
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    aside.rename(path)
    assert [each.name for each in service.describe()] == [KEK]


@pytest.mark.parametrize("mode", [0o666, 0o644, 0o640, 0o620, 0o602, 0o604])
def test_a_key_file_that_others_may_read_or_write_is_refused_with_what_to_type(
    service: SealedKeys, path: Path, mode: int
) -> None:
    path.chmod(mode)
    refused(service, path, "keys.file_mode")
    with pytest.raises(Unavailable) as caught:
        service.describe()
    assert f"chmod 600 {path}" in caught.value.remedy
    path.chmod(0o600)
    assert service.health().ok


def test_what_the_writer_writes_at_the_limit_the_reader_takes(path: Path) -> None:
    empty = Contents(root=bytes(32), keks={}, edition=1)
    file, _ = SealedFile.create(path, PASSPHRASE, empty, cost=1 << 10)

    def filled(size: int) -> Contents:
        big = Kek(current=1, minimum=1, keys={"1": bytes(32)}, made=0, retired=("x" * size,))
        return Contents(root=bytes(32), keks={KEK: big}, edition=2)

    file.write(filled(9 << 20))
    low = (9 << 20) + (MAX_FILE - path.stat().st_size) // 4 * 3 - 8
    high = low + 16
    while high - low > 1:  # the largest that is written, to the byte
        middle = (low + high) // 2
        try:
            file.write(filled(middle))
            low = middle
        except Unavailable as error:
            assert error.code == "keys.full"
            high = middle
    assert MAX_FILE - 4 < path.stat().st_size <= MAX_FILE
    assert SealedFile.open(path, PASSPHRASE)[1].contents == filled(low)


@pytest.fixture(autouse=True)
def nothing_left_open(tmp_path: Path) -> Iterator[None]:
    before = len([*Path("/proc/self/fd").iterdir()])
    yield
    assert len([*Path("/proc/self/fd").iterdir()]) <= before, "a refusal leaves no descriptor open"
