"""Exports, proofs and keys made by somebody hostile: the verifier never hangs, never shows a traceback, names a place.

Each is run as the separate program it is, with a deadline and with little memory.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.support import _RUN, VERIFIER, Lab
from weighthouse.audit import api

DEADLINE_S, MEMORY = 60, 1024 * 1024 * 1024
LIMITED = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY})); "


def check(*arguments: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Return exit code and output; neither a traceback nor an endless run is an answer."""
    done = subprocess.run(
        [sys.executable, *([] if environment else ["-I"]), "-c", LIMITED + _RUN, str(VERIFIER), *map(str, arguments)],
        capture_output=True,
        check=False,
        timeout=DEADLINE_S,
        env={**os.environ, **(environment or {})},
    )
    said = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
    assert "Traceback" not in said and done.returncode in (0, 1, 2), said
    return done.returncode, said


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    lab.many(300)
    return lab.export(tmp_path / "log")


def claim(folder: Path, size: int) -> None:
    """Let the checkpoint speak of another size; its signature no longer fits, which is said beside the place."""
    lines = (folder / "checkpoint").read_text().split("\n")
    lines[1] = str(size)
    (folder / "checkpoint").write_text("\n".join(lines))


@pytest.mark.parametrize("size", [2**63 - 1, 2**62, 2**40, 1_000_000])
def test_a_size_that_the_folder_cannot_hold_is_named_where_its_entries_end(folder: Path, size: int) -> None:
    claim(folder, size)
    code, said = check(folder, "-o", "json")
    assert code == 1
    problems = json.loads(said)["problems"]
    assert {"index": 256, "where": "tile/entries/001"}.items() <= problems[1].items()
    assert problems[0]["where"] == "checkpoint" and len(problems) == 2


def test_a_folder_of_links_does_not_stand_for_an_endless_log(folder: Path) -> None:
    entries = folder / "tile" / "entries"
    for number in range(1, 1000):
        (entries / f"{number:03d}").symlink_to("000")
    for number in range(1000):
        (entries / f"x{number:03d}").symlink_to(".")
    claim(folder, 2**50)
    code, said = check(folder)
    assert code == 1 and "it holds links" in said


@pytest.mark.parametrize(
    "name", ["checkpoint", "tile/entries/000", "tile/entries/001.p/44", "tile/1/000.p/1", "log.vkey"]
)
@pytest.mark.parametrize("kind", ["pipe", "endless", "folder", "huge", "empty", "absent", "noise"])
def test_a_file_that_is_none_is_refused_by_name(folder: Path, name: str, kind: str) -> None:
    key = (folder / "log.vkey").read_text().strip()
    path = folder / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(40 * 1024 * 1024 * 1024)
    elif kind != "absent":
        path.write_bytes(b"" if kind == "empty" else random.Random(7).randbytes(5000))
    code, said = check(folder) if name == "log.vkey" else check(folder, "--key", key)
    assert code == (2 if name == "log.vkey" else 1)
    assert name in said or name == "log.vkey"


@pytest.mark.parametrize("seed", range(12))
def test_any_truncation_is_found_at_or_before_the_cut(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "log.vkey"))
    cut = chance.randrange(path.stat().st_size)
    os.truncate(path, cut)
    code, said = check(folder, "--strict")
    assert code == 1 and "the first is" in said


def _set(lines: list[str], place: int, text: str) -> list[str]:
    return [*lines[:place], text, *lines[place + 1 :]]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [],
        lambda lines: lines[:1],
        lambda lines: _set(lines, 0, "c2sp.org/tlog-proof@v2"),
        lambda lines: _set(lines, 1, "index 99999999999999999999999999"),
        lambda lines: _set(lines, 1, "index " + "9" * 10_000),
        lambda lines: _set(lines, 1, "index ٣"),
        lambda lines: [lines[0], "extra !!!", *lines[1:]],
        lambda lines: [*lines[:2], *["A" * 43 + "="] * 64, *lines[2:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: ["\x00" * 100],
        lambda lines: [*lines, "— x AAAA"],
    ],
)
def test_malformed_proofs_are_refused(
    folder: Path, lab: Lab, tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    proof = tmp_path / "proof"
    proof.write_text("\n".join(change(lab.prove(17).split("\n"))))
    code, said = check(folder, "--proof", proof)
    assert code == 1 and "PROBLEM" in said


def test_a_proof_that_is_no_file_or_has_no_end_is_refused(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for proof in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none"):
        code, said = check(folder, "--proof", proof)
        assert code == 2 and str(proof) in said


def test_keys_of_every_length_are_read_or_refused(folder: Path, lab: Lab) -> None:
    long = "example.com/" + "x" * 300 + "+00000000+" + base64.b64encode(b"\x06" + bytes(1312)).decode()
    for key in (long, "a+b", "+", "x" * 100_000, "a+" * 40_000):
        assert check(folder, "--key", key)[0] == 2
    assert check(folder, "--key", api.keys(lab.system)[0])[0] == 0


def test_an_origin_cannot_write_on_the_readers_terminal(folder: Path) -> None:
    text = (folder / "checkpoint").read_text()
    (folder / "checkpoint").write_text(text.replace("weighthouse.local/log", "good\x9b2Jlog\u202e"))
    code, said = check(folder, "--key", (folder / "log.vkey").read_text().strip())
    assert code == 1 and "\x9b" not in said and "\u202e" not in said and "\\x9b" in said


def test_a_terminal_without_the_letters_gets_them_escaped(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "журнал"
    folder.rename(other)
    code, said = check(other, environment={"PYTHONIOENCODING": "ascii:strict"})
    assert code == 0 and "OK" in said
