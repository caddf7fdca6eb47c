"""What is committed is clean: no path of somebody's machine, no registry's address, locks with hashes only."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.house import source

# Written in halves so that this file does not find itself.
MACHINE = re.compile(
    r"/ro{2}t/(?:work|\.pyenv|\.cache|\.config|\.venv)|/hom[e]/[a-z]+/|/User[s]/[A-Za-z]+/|/wor[k]/(?:main|shared)|/tm[p]/wh\b|[A-Z]:\\\\User[s]"
)
REGISTRY = re.compile(
    r"python[h]osted|pyp[i]\.org|npm[j]s\.(?:org|com)|prox[y]\.golang|su[m]\.golang|artifac[t]ory|[j]frog|nexu[s]/repository"
    r"|--(?:extra-)?index[-]url|--find[-]links|/simpl[e]/",
    re.I,
)
BINARY = {".png", ".ico", ".woff2", ".gz", ".zip", ".bin", ".db"}
LOCKS = sorted((source.ROOT / "requirements").glob("*.txt"))


def _readable() -> list[tuple[Path, str]]:
    found = []
    for path in source.files():
        if path.suffix in BINARY:
            continue
        try:
            found.append((path, source.text(path)))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize(
    ("what", "pattern"), [("a path of one machine", MACHINE), ("a registry's address", REGISTRY)]
)
def test_no_tracked_file_names(what: str, pattern: re.Pattern[str]) -> None:
    found = [
        f"{source.shown(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(0)}"
        for path, text in _readable()
        for match in pattern.finditer(text)
    ]
    assert not found, f"{what} in tracked files: {found}"


def test_there_are_locks() -> None:
    assert {path.name for path in LOCKS} == {"run.txt", "dev.txt"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_has_hashes_and_no_address(lock: Path) -> None:
    text = source.text(lock)
    assert "://" not in text, "a lock names packages and hashes, never where they come from"
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", line), f"not pinned exactly: {line[:80]}"
        assert "--hash=sha256:" in line, f"without a hash: {line[:80]}"


def test_a_lock_of_npm_packages_has_hashes_and_no_address() -> None:
    locks = [path for path in source.files() if path.name == "package-lock.json"]
    assert locks
    for lock in locks:
        text = source.text(lock)
        assert "://" not in text and "resolved" not in text
        packages = json.loads(text)["packages"]
        assert all("integrity" in said for name, said in packages.items() if name), "not pinned by hash"


def test_no_secret_is_tracked() -> None:
    """A private key or a token in the repository is public for ever."""
    marks = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]{40}|\bgh[pousr]_[A-Za-z0-9]{30,}|\bAKIA[0-9A-Z]{16}\b"
    )
    found = [source.shown(path) for path, text in _readable() if marks.search(text)]
    assert not found, f"looks like a secret: {found}"
