"""A lab's file is checked without a server and without a sign-in; what only a server knows is said to be missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.cli import exits, main, policy

TEXT = EXAMPLE_LAB.read_text("utf-8")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("WEIGHTHOUSE_SERVER", "WEIGHTHOUSE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEIGHTHOUSE_HOME", str(tmp_path / "home"))
    file = tmp_path / "lab.yaml"
    file.write_text(TEXT)
    return file


def test_a_file_is_checked_by_itself_and_what_was_not_compared_is_said(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["policy", "check", str(lab), "-o", "json"]) == 0
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert answer["lab"] and answer["digest"].startswith("sha256:") and "difference" not in answer
    assert answer["not_compared"] == list(policy.NOT_COMPARED)
    assert all(what in told.err for what in policy.NOT_COMPARED)
    assert not (lab.parent / "home").exists(), "no key was made for it"


def test_a_mistake_is_named_with_its_line(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab.write_text(TEXT.replace("entitlements:", "entitlments:", 1))
    assert main.run(["policy", "check", str(lab)]) == exits.REFUSED
    told = capsys.readouterr()
    assert "lab.yaml:" in told.err and "Code: policy." in told.err and "in order" not in told.err


def test_a_model_that_does_not_hold_is_told(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab.write_text("\n".join(line for line in TEXT.splitlines() if "size: 4MiB" not in line))
    assert main.run(["policy", "check", str(lab), "-o", "json"]) == 0
    assert [one["model"] for one in json.loads(capsys.readouterr().out)["unheld"]] == ["model/wren"]


def test_with_a_server_named_it_is_asked_and_nothing_is_checked_without_it(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["--server", "http://127.0.0.1:9", "policy", "check", str(lab)]) == exits.SIGN_IN
    assert "cli.not_signed_in" in capsys.readouterr().err


def test_publishing_is_never_done_without_a_sign_in(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["policy", "publish", str(lab), "--yes"]) == exits.SIGN_IN
    assert "cli.not_signed_in" in capsys.readouterr().err
