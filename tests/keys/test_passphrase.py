"""The passphrase comes from a private file or the terminal, and from nowhere that others can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighthouse.core.errors import Unavailable
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
