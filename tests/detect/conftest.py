"""What the tests of detection share: a lab with real sign-ins, real sessions, real access and the real log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.identity.support import ORIGIN, Lab
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.app import declared
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.events import Event
from weighthouse.core.settings import Settings
from weighthouse.core.work import begin, read
from weighthouse.detect import jobs
from weighthouse.identity import api as identity


class Watched(Lab):
    """A lab with detection. `follow` makes one pass of every detection over the log."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path, **flags: object) -> None:
        super().__init__(database, clock, folder)
        values = {"state": folder, "mode": "development", "server.origin": ORIGIN, **flags}
        self.system.settings = Settings(declared.settings(), flags=values)
        self.system.bind(Refusals, FileRefusals(folder / "refusals"))

    def write(self, *events: Event) -> None:
        with begin(self.system) as unit:
            for event in events:
                audit.append(unit, event)

    def fail(self, *accounts: str, address: str = "127.0.0.1", event: str = "") -> None:
        """The provider reports a failed sign-in for each account."""
        for account in accounts:
            result = identity.SignInResult(
                issuer="dev",
                subject=account,
                address=address,
                user_agent="spray",
                outcome="failure",
                reason="bad password",
                event_id=event or f"{account}@{address}/{self.clock.now()}",
            )
            with begin(self.system) as unit:
                identity.record_sign_in(unit, result)

    def settle(self) -> None:
        """Let the sequencer take what waits, on PostgreSQL."""
        while audit.sequence(self.system):
            pass

    def follow(self) -> int:
        self.settle()
        done = jobs.follow(self.system)
        self.settle()
        return done

    def facts(self, kind: str) -> list[dict[str, Any]]:
        with read(self.system) as unit:
            return [one.data for one in audit.entries(unit, kind=kind, limit=1000)]

    def alive(self, person: str) -> int:
        with read(self.system) as unit:
            return len(identity.sessions_of(unit, person))


@pytest.fixture
def watched(database: Database, clock: ManualClock, tmp_path: Path) -> Watched:
    return Watched(database, clock, tmp_path)


@pytest.fixture
def any_watched(any_database: Database, clock: ManualClock, tmp_path: Path) -> Watched:
    """The same test on both databases."""
    return Watched(any_database, clock, tmp_path)
