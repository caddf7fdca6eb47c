"""A served control plane on loopback for fuzzers: the application as the app wires it, behind the real HTTP server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.world import AGENT, World, field
from weighthouse.app.server import Served, free_port
from weighthouse.core.clock import ManualClock
from weighthouse.runs.adapters.ground import ThisMachine
from weighthouse.runs.ports import Ground, Tokens


class House(World):
    """A control plane that answers on `self.port`, and what the server logged of errors that nobody foresaw."""

    def __init__(self, state: Path, **settings: object) -> None:
        self.port = free_port("127.0.0.1")
        super().__init__(ManualClock(), state, port=self.port, settings=settings)
        self.system.bind(Ground, ThisMachine(self.system.settings))
        self.system.bind(Tokens, Tokens())
        self.served = Served(self.app, port=self.port).start()
        self.surprises: list[str] = []
        self._handler = logging.Handler()
        self._handler.emit = lambda record: self.surprises.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("weighthouse.web").addHandler(self._handler)

    def headers(self, person: str) -> dict[str, str]:
        """Sign a person in; return what their browser's script sends along with a change."""
        browser = self.browser(person)
        return {
            "User-Agent": AGENT,
            "Origin": self.origin,
            "Cookie": "; ".join(f"{one.name}={one.value}" for one in browser.cookies.jar),
            "X-CSRF-Token": field(browser.get("/sessions").text, "csrf"),
        }

    def surprised(self) -> list[str]:
        """Return what the server met and nobody foresaw since this was last asked."""
        found, self.surprises = self.surprises, []
        return found

    def close(self) -> None:
        logging.getLogger("weighthouse.web").removeHandler(self._handler)
        self.served.stop()
        if not self.served._loop.is_closed():
            self.served._loop.close()
        self.system.database.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()
