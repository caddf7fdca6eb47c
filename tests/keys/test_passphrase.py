"""The passphrase comes from a private file or the terminal, and from nowhere that others can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.adapters.passphrase import read_passphrase


def test_a_private_file_gives_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("four random words here\nand nothing else\n", "utf-8")
    path.chmod(0o600)
    assert read_passphrase(str(path)) == "four random words here"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "passphrase"
    path.write_text("four random words here", "utf-8")
    path.chmod(mode)
    with pytest.raises(Unavailable) as caught:
        read_passphrase(str(path))
    assert caught.value.code == "keys.passphrase_source"


def test_a_systemd_credential_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weighthouse.passphrase"
    path.write_text("four random words here", "utf-8")
    path.chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_passphrase("") == "four random words here"


def test_without_terminal_or_file_the_answer_is_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("WEIGHTHOUSE_PASSPHRASE", "not from here")
    with pytest.raises(Unavailable) as caught:
        read_passphrase("")
    assert caught.value.code == "keys.passphrase_source"
    with pytest.raises(Unavailable):
        read_passphrase(str(tmp_path / "missing"))


def written(tmp_path: Path, raw: bytes) -> str:
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_bytes(raw)
    return read_passphrase(str(path))


@pytest.mark.parametrize(
    "raw",
    [b"four words", b"four words\n", b"four words\r\n", b"\xef\xbb\xbffour words\r\nand more", b"four words\r"],
)
def test_what_an_editor_adds_is_no_part_of_it(tmp_path: Path, raw: bytes) -> None:
    assert written(tmp_path, raw) == "four words"


def test_the_longest_is_taken_whole_and_blanks_are_part_of_it(tmp_path: Path) -> None:
    assert written(tmp_path, ("\U0001f511" * 1024).encode() + b"\r\n") == "\U0001f511" * 1024
    assert written(tmp_path, b" two blanks  \n") == " two blanks  "


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\nsecond line", b"caf\xe9 au lait",
        "four words".encode("utf-16"), b"x" * 1025, b"x" * 100_000, ("é" * 1025).encode(),
    ],
)  # fmt: skip
def test_a_file_whose_first_line_is_no_passphrase_is_refused_and_never_cut(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        written(tmp_path, raw)
    assert caught.value.code == "keys.passphrase_source"


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(Unavailable) as caught:
            read_passphrase(str(path))
        assert caught.value.code == "keys.passphrase_source"


COMPOSED, DECOMPOSED = "vier \u00fcble W\u00f6rter", "vier u\u0308ble Wo\u0308rter"


@pytest.mark.parametrize("made", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("typed", [COMPOSED, DECOMPOSED])
def test_what_a_mac_typed_opens_what_was_made_on_linux(tmp_path: Path, made: str, typed: str) -> None:
    SealedKeys.create(tmp_path / "keys", made, cost=1 << 10)
    assert SealedKeys.open(tmp_path / "keys", typed).health().ok
    for other in ("vier uble Worter", typed.upper(), typed + " ", "\ud800" + typed):
        with pytest.raises(Unavailable) as caught:
            SealedKeys.open(tmp_path / "keys", other)
        assert caught.value.code == "keys.passphrase"


@pytest.mark.parametrize("old", [DECOMPOSED, "\ufefffour random words"])
def test_a_file_that_was_made_before_spellings_were_one_opens(tmp_path: Path, old: str) -> None:
    from weighthouse.keys.adapters.key_form import Contents
    from weighthouse.keys.adapters.sealed_file import SealedFile

    SealedFile.under(tmp_path / "keys", old, cost=1 << 10).write(Contents(bytes(32), {}, 1))
    assert SealedKeys.open(tmp_path / "keys", old.removeprefix("\ufeff")).health().ok


@pytest.mark.parametrize("weak", ["", "short", "a" * 40, "abababababab", "12312312312312", "é" * 12, "x" * 1025])
def test_a_weak_passphrase_makes_no_file(tmp_path: Path, weak: str) -> None:
    with pytest.raises(Invalid) as caught:
        SealedKeys.create(tmp_path / "keys", weak, cost=1 << 10)
    assert caught.value.code == "keys.weak_passphrase"
    assert list(tmp_path.iterdir()) == []
