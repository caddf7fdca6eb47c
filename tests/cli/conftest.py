"""A served control plane on loopback, and people at their own terminals, each with a key and a folder of their own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.world import World

from weighthouse.app import provider
from weighthouse.app.server import Served, free_port
from weighthouse.cli import main
from weighthouse.core.clock import SystemClock


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The whole application as the app wires it, on a free port, with the example lab and the embedded provider."""
    port = free_port("127.0.0.1")
    made = World(SystemClock(), tmp_path_factory.mktemp("state"), port=port)
    served = Served(made.app, port=port).start()
    yield made
    served.stop()
    served._loop.close()
    made.system.database.close()


class Keyboard(io.StringIO):
    """Standard input that is a terminal, with everything typed ahead."""

    def isatty(self) -> bool:
        return True


class Terminal:
    """One person's terminal: runs commands in this process, as their installed program would."""

    def __init__(self, world: World, person: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.person = person
        self._capsys = capsys
        account = world.account(person)
        secret = provider.dev_secret(world.system, account)
        self._environment = {
            "WEIGHTHOUSE_HOME": str(home / person),
            "WEIGHTHOUSE_SERVER": world.origin,
            "WEIGHTHOUSE_ACCOUNT": account,
            "WEIGHTHOUSE_PASSWORD": secret.password,
            "WEIGHTHOUSE_TOTP_SECRET": secret.totp,
        }

    def run(self, *arguments: str, status: int = 0, typed: str | None = None) -> str:
        """Run a command, expect its exit code, and return its answer. `typed` is what the person types at a terminal."""
        with pytest.MonkeyPatch.context() as patch:
            if typed is not None:
                patch.setattr("sys.stdin", Keyboard(typed))
            for name, value in self._environment.items():
                patch.setenv(name, value)
            self._capsys.readouterr()
            found = main.run(list(arguments))
        told = self._capsys.readouterr()
        self.said = told.err
        assert found == status, f"{self.person}: {' '.join(arguments)} → {found}\n{told.out}\n{told.err}"
        assert "Traceback" not in told.err
        return told.out

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with -o json and return its answer."""
        return json.loads(self.run(*arguments, "-o", "json", status=status))

    def sign_in(self) -> Terminal:
        """Sign in headless, as in the demo."""
        self.run("login", "--headless")
        return self


@pytest.fixture
def at(
    world: World, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Terminal]:
    """Seat a person at a terminal of their own that nobody has signed in at."""
    home = tmp_path_factory.mktemp("homes")
    return lambda person: Terminal(world, person, home, capsys)
