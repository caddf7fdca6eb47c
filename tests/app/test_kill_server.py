"""SIGKILL of the real server at random points under load: nothing acknowledged is lost, nothing lacks its entry.

`make test` kills a few times on each database; WEIGHTHOUSE_KILLS=200 (make soak) is the full run.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.app.serving import Server
from weighthouse.app.home import Home
from weighthouse.audit import api as audit
from weighthouse.core.work import System, read
from weighthouse_sdk.client import Client
from weighthouse_sdk.errors import SdkError

KILLS = int(os.environ.get("WEIGHTHOUSE_KILLS", "3"))
SOAK = [pytest.mark.soak] if KILLS > 3 else []
ORDER = {
    "resource": "model/tern",
    "duration": 3_600_000,
    "reason": "A request of the kill test, withdrawn at once.",
}
ENTITLEMENTS = ("tern-load", "tern-train")


class Load:
    """Clients that submit and withdraw requests, and remember what the server has acknowledged."""

    def __init__(self, clients: list[Client]) -> None:
        self.submitted: set[str] = set()
        self.withdrawn: set[str] = set()
        self.refused: list[str] = []
        self._clients = clients
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._work, args=(client, entitlement))
            for client in self._clients
            for entitlement in ENTITLEMENTS
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, client: Client, entitlement: str) -> None:
        while not self._stop.is_set():
            try:
                request = str(client.post("requests", {**ORDER, "entitlement": entitlement})["id"])
                self.submitted.add(request)
                self._withdraw(client, request)
            except SdkError as error:
                self._recover(client, entitlement, error)

    def _withdraw(self, client: Client, request: str) -> None:
        client.post(f"requests/{request}/withdraw")
        self.withdrawn.add(request)

    def _recover(self, client: Client, entitlement: str, error: SdkError) -> None:
        """After a kill, or when the database was busy, try again; a request whose answer was lost is still open, and is withdrawn."""
        if error.code in ("client.unreachable", "core.database_unavailable"):
            time.sleep(0.01)
            return
        if error.code != "access.already_pending":
            self.refused.append(f"{error.code}: {error}")
            return
        try:
            for one in client.get("requests")["items"]:
                if one["state"] == "pending" and one["entitlement"] == entitlement:
                    self._withdraw(client, str(one["id"]))
        except SdkError:
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)


pytestmark = [pytest.mark.timeout(120 + KILLS * 30), *SOAK]


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    made = Server(tmp_path, url)
    yield made
    made.close()


def facts(system: System, kind: str) -> set[str]:
    """Every subject of a kind of entry in the log, each exactly once."""
    found: list[str] = []
    start = 0
    with read(system) as unit:
        while page := audit.entries(unit, kind=kind, start=start, limit=500):
            found += [entry.subject for entry in page]
            start = page[-1].index + 1
    assert len(found) == len(set(found)), f"a change has two {kind} entries"
    return set(found)


def sequence_all(system: System) -> None:
    """On PostgreSQL, let this process become the sequencer once the dead server's lease has run out."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        audit.sequence(system)
        with read(system) as unit:
            if audit.backlog(unit).waiting == 0:
                return
        time.sleep(0.1)
    raise AssertionError("entries still wait for the sequencer")


def check(system: System, load: Load) -> None:
    """Compare what was acknowledged, the rows and the log."""
    sequence_all(system)
    submitted = facts(system, "access.RequestSubmitted")
    withdrawn = facts(system, "access.RequestWithdrawn")
    with read(system) as unit:
        rows = unit.conn.execute(text("SELECT id, state FROM access_request"))
        states = {str(row.id): str(row.state) for row in rows}
    assert load.submitted <= states.keys(), "an acknowledged request is lost"
    assert {r for r in load.withdrawn if states[r] != "withdrawn"} == set(), "an acknowledged withdrawal is lost"
    assert states.keys() == submitted, "a request has no entry, or an entry no request"
    assert {r for r, state in states.items() if state == "withdrawn"} == withdrawn, "a withdrawal has no entry"
    report = audit.verify(system)
    assert report.ok, report.problems


def test_data_case_1_a_killed_server_loses_no_acknowledged_change(server: Server) -> None:
    server.start()
    people = [server.actor(person) for person in ("ada", "eve")]
    load = Load([actor.client for actor in people])
    chance = random.Random(20261123)
    for _ in range(KILLS):
        if server.process is None:
            server.start()
        before = len(load.withdrawn)
        load.start()
        while len(load.withdrawn) == before and not load.refused:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.4))
        assert server.signal(signal.SIGKILL) == -signal.SIGKILL
        load.stop()
        assert load.refused == [], load.refused
    system = server.system()
    check(system, load)
    system.database.close()
    print(f"{KILLS} kills: {len(load.submitted)} submitted, {len(load.withdrawn)} withdrawn, none lost")


def test_sigterm_at_the_very_moment_that_it_answers_ends_it_cleanly(tmp_path: Path) -> None:
    """What would end it by the signal's default takes its last words, and the ends of its runs, with it."""
    server = Server(tmp_path)
    for _ in range(3):
        server.start()
        assert server.signal(signal.SIGTERM) == 0
        assert server.log.read_text().rstrip().endswith("Stopping ...")


def test_sigterm_ends_the_server_cleanly(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    assert server.actor("ada").client.get("me")["principal"] == "ada"
    assert server.signal(signal.SIGTERM) == 0
    assert "Traceback" not in server.log.read_text()
    assert not Home(server.state).sockets.exists() or not list(Home(server.state).sockets.glob("*")), (
        "a socket is left"
    )
