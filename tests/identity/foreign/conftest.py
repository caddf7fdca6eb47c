"""Strangers to talk to: node programs over npm packages that are pinned by hash. Absent parts fail loudly."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NEEDS = "needs Node 20 and the packages of tests/identity/foreign: run make test-oidc"
LIMIT_S = 120


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None or not (HERE / "node_modules").is_dir():
        pytest.fail(NEEDS)
    return found


@pytest.fixture
def relying_party(node: str) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Let the certified relying party judge a provider; return what it found, check by check."""

    def judge(given: dict[str, Any]) -> list[dict[str, Any]]:
        done = subprocess.run(
            [node, str(HERE / "relying_party.mjs")],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return judge


@pytest.fixture
def certified_provider(node: str) -> Iterator[Callable[..., str]]:
    """Start the certified provider; each call returns the issuer of one more, ended when the test ends."""
    running: list[subprocess.Popen[str]] = []

    def start(**given: Any) -> str:
        process = subprocess.Popen(
            [node, str(HERE / "provider.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        return str(json.loads(process.stdout.readline())["issuer"])

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=30)
