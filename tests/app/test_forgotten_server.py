"""A server whose machine and state folder are gone for good: others wait for it until an operator says so.

The operator types the command over the folder of another server; the log keeps who said it, and why.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tests.app.kept import REASON, State
from weighthouse.app.home import Home
from weighthouse.app.house import House
from weighthouse.audit import api as audit
from weighthouse.audit.api import lanes
from weighthouse.cli import exits, main
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, read


class Kept(State):
    """One of two servers over one PostgreSQL database."""

    def forget(self, server: str, reason: str = REASON) -> tuple[int, str]:
        assert self._capsys is not None
        self._capsys.readouterr()
        state = ["--state", str(self.root), "--passphrase-file", str(self.passphrase)]
        status = main.run(["audit", "forget-server", server, *state, "--reason", reason])
        told = self._capsys.readouterr()
        return status, told.out + told.err


def serving(system: System) -> set[str]:
    with system.database.engine.begin() as connection:
        connection.execute(text("UPDATE core_lease SET expires = 0"))  # who sequenced last ended a while ago
    while audit.sequence(system):
        pass
    with read(system) as unit:
        return lanes.known(unit).serving()


@pytest.fixture
def kept(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Kept:
    monkeypatch.setenv("WEIGHTHOUSE_DATABASE_URL", postgres_url)
    return Kept(tmp_path, monkeypatch, capsys)


def test_a_server_that_is_gone_for_good_is_forgotten_by_an_operators_word(kept: Kept) -> None:
    gone = kept.opened()
    audit.join(gone)
    name = lanes.writer(gone)
    assert serving(gone) == {name}
    gone.database.close()

    status, told = kept.forget("wri_" + "0" * 26)
    assert status != exits.OK and "audit.no_such_server" in told
    status, told = kept.forget(name, reason="x")
    assert status != exits.OK and "audit.bad_reason" in told
    status, told = kept.forget(name)
    assert status == exits.OK and f"Nobody waits for {name} any more" in told
    status, told = kept.forget(name)
    assert status != exits.OK, "it is said once"

    after = kept.opened()
    try:
        assert serving(after) == set()
        with read(after) as unit:
            (line,) = audit.entries(unit, kind="audit.ServerForgotten")
        assert line.data["server"] == name
    finally:
        after.database.close()


def test_a_server_that_another_one_does_not_answer_serves_nobody(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: System) -> None:
        raise Unavailable("audit.not_answered", "The server wri_x did not answer.", "Start it.")

    monkeypatch.setattr(audit, "meet", silent)
    system = kept.opened()
    house = House(system, Home(kept.root))
    with pytest.raises(Unavailable) as refusal:
        house.start()
    assert refusal.value.code == "audit.not_answered"
    with pytest.raises(httpx.ConnectError):
        httpx.get(house.url)
