"""Show 2 on a kept development server: the red team plays, at a terminal, and plays again the same day.

The second time everything is held as well: no theft spends the day of those who work there, or leaves anything behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.serving import Server
from weighthouse.app.provider import dev_secret
from weighthouse.assurance import api as assurance
from weighthouse.cli import exits

SPENDING = ("output-drain", "slow-drip", "leaky-names")
LIMIT_S = 3000


class Kept:
    """A server of its own process, whose temporary files are counted, and Kim of the red team at a terminal."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.server, self.temporary = Server(folder), temporary
        self.server.start()
        system = self.server.system()
        secret = dev_secret(system, "kim")
        system.database.close()
        self._environment = {
            **os.environ,
            "WEIGHTHOUSE_HOME": str(folder / "kim"),
            "WEIGHTHOUSE_SERVER": self.server.url,
            "WEIGHTHOUSE_ACCOUNT": "kim",
            "WEIGHTHOUSE_PASSWORD": secret.password,
            "WEIGHTHOUSE_TOTP_SECRET": secret.totp,
        }
        self.run("login", "--headless", "--enrol", "Kim's machine")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "weighthouse.cli", *arguments],
            env=self._environment, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == exits.OK, done.stdout + done.stderr
        return done.stdout

    def played(self, *attacks: str) -> dict[str, Any]:
        outcomes = json.loads(self.run("redteam", "run", *attacks, "-o", "json"))
        return {one["id"]: one["status"] for one in (outcomes if isinstance(outcomes, list) else outcomes["items"])}

    def spent(self) -> int:
        """What the runs of today have cost every account of the lab."""
        items = self.server.actor("fay").client.get("egress/budgets")["items"]
        return sum(int(window["spent"]) for one in items for window in one["windows"])

    def left(self) -> list[str]:
        return sorted(path.name for path in self.temporary.iterdir())


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    with tempfile.TemporaryDirectory(prefix="wh-") as temporary:  # short, for there are sockets in it
        monkeypatch.setenv("TMPDIR", temporary)
        monkeypatch.setattr(tempfile, "tempdir", None)
        made = Kept(tmp_path, Path(temporary))
        try:
            yield made
            assert made.server.signal(signal.SIGTERM) == 0
            assert made.left() == []
        finally:
            made.server.close()


@pytest.mark.timeout(LIMIT_S)
def test_what_spends_a_day_is_held_twice_and_spends_nobodys(kept: Kept) -> None:
    before = kept.left(), kept.spent()
    for _ in range(2):
        assert kept.played(*SPENDING) == dict.fromkeys(SPENDING, "BLOCKED")
    assert (kept.left(), kept.spent()) == before


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_S)
def test_the_whole_catalogue_is_held_twice_in_a_row(kept: Kept) -> None:
    before = kept.left()
    promised = {one.id: one.expected.status for one in assurance.catalogue()}
    for _ in range(2):
        assert kept.played("all") == promised
    assert kept.left() == before
