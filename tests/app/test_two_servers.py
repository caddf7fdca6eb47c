"""Attack: say no at one server, put the row back, and ask another server of the same database.

Two real servers over one PostgreSQL, each with a state folder of its own. What one refused the other refuses, by what
it has read in the log; one that was down meanwhile has read it before it serves.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.app.running import grant, within
from tests.app.serving import PASSPHRASE, Server
from weighthouse.app.demo.actor import Actor
from weighthouse.app.initialise import load_settings
from weighthouse.app.server import free_port
from weighthouse_sdk.client import ProblemError


class Twin(Server):
    """Another server of the same lab: a copy of the first one's state folder, and a port of its own."""

    def __init__(self, first: Server, folder: Path) -> None:
        folder.mkdir()
        self.state = folder / "state"
        shutil.copytree(first.state, self.state, ignore=shutil.ignore_patterns("sockets", "lock"))
        self.port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"
        self.passphrase, self.log = folder / "passphrase", folder / "server.log"
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_text(PASSPHRASE)
        self.flags = {**first.flags, "server.port": self.port}
        self.process = None
        self._actors = []
        load_settings(self.flags, state=self.state)


class Pair:
    """Both servers, and what a database administrator does between them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.first = Server(folder, url)
        self.second = Twin(self.first, folder / "second")
        self._engine = create_engine(url)

    def start(self) -> None:
        self.first.start()
        self.second.start()

    def close(self) -> None:
        self.first.close()
        self.second.close()
        self._engine.dispose()

    def rows(self, *tables: str) -> dict[str, list[dict[str, Any]]]:
        with self._engine.begin() as connection:
            return {
                one: [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {one}"))]
                for one in tables
            }

    def put_back(self, kept: dict[str, list[dict[str, Any]]]) -> None:
        with self._engine.begin() as connection:
            for table, rows in kept.items():
                connection.execute(text(f"DELETE FROM {table}"))
                for row in rows:
                    names = ", ".join(f'"{name}"' for name in row)
                    values = ", ".join(f":{name}" for name in row)
                    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


@pytest.fixture
def pair(postgres_url: str, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(postgres_url, tmp_path)
    yield made
    made.close()


def active(actor: Actor) -> list[str]:
    return [one["id"] for one in actor.client.get("grants")["items"] if one["state"] == "active"]


def refused(actor: Actor) -> str:
    try:
        actor.client.get("me")
    except ProblemError as refusal:
        return refusal.code
    return ""


def test_what_one_server_refused_the_other_refuses_though_every_row_is_put_back(pair: Pair) -> None:
    pair.start()
    ada, eve = pair.first.actor("ada"), pair.first.actor("eve")
    ada_there, eve_there = pair.second.actor("ada"), pair.second.actor("eve")
    chi = pair.first.actor("chi")
    given = grant(ada)
    within("the grant is seen at both", lambda: active(ada_there) == [given])
    before = pair.rows("access_grant", "access_hold", "identity_principal", "identity_session")
    chi.client.post(f"grants/{given}/revoke", {"reason": "It is not needed."})
    chi.client.post("people/eve/freeze", {"reason": "Odd reads at night."})
    chi.client.post("holds", {"subject": "model/wren", "reason": "Look into it."})
    pair.put_back(before)
    for server_ada in (ada, ada_there):
        within("the grant is over at both", lambda actor=server_ada: active(actor) == [])
        within("the hold stands at both", lambda actor=server_ada: actor.client.get("holds")["items"])
    for server_eve in (eve, eve_there):
        within("eve is out at both", lambda actor=server_eve: refused(actor))
    pair.put_back(before)
    assert active(ada_there) == [] and refused(eve_there) in ("identity.session_ended", "identity.record_refused")
    frozen = pair.second.actor("chi").client.get("people/frozen")["items"]
    assert [one["id"] for one in frozen] == ["eve"]
    assert refused(chi) == refused(ada_there) == ""


def test_a_server_that_stops_says_so_and_one_that_is_killed_is_spoken_for(pair: Pair) -> None:
    pair.start()
    within("both say that they live", lambda: said(pair) == [False, False])
    assert pair.second.signal(signal.SIGTERM) == 0
    assert sorted(said(pair)) == [False, True], pair.second.log.read_text()[-2000:]
    pair.first.signal(signal.SIGKILL)
    assert sorted(said(pair)) == [False, True], "it may live, and refuse, unheard"
    pair.first.start()
    within("the next one speaks for it", lambda: said(pair).count(False) == 1 and True in said(pair))


def said(pair: Pair) -> list[bool]:
    """Whether each server that has said anything stops."""
    return [json.loads(row["said"])["left"] for row in pair.rows("log_server")["log_server"]]


def test_a_server_that_was_down_has_learnt_before_it_serves(pair: Pair) -> None:
    pair.first.start()
    ada, chi = pair.first.actor("ada"), pair.first.actor("chi")
    given = grant(ada)
    before = pair.rows("access_grant")
    chi.client.post(f"grants/{given}/revoke", {"reason": "It is not needed."})
    within("the line is in the log", lambda: chi.client.get("audit/entries?kind=access.GrantEnded")["items"])
    pair.put_back(before)
    pair.second.start()
    assert active(pair.second.actor("ada")) == []
