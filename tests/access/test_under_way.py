"""Over HTTP: a request whose session is ended between the door and its own unit of work is refused, with one line.

Attack: send a request in a stolen session while something that it must wait for is locked; its owner ends the session.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.access.test_foreign import FOREIGN, end_by
from tests.access.test_http import ASK, problem, twice
from tests.identity.support import Lab
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.access.routes import api as routes
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.identity import api as identity


@pytest.fixture
def lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    made = Lab(any_database, clock, tmp_path)
    made.system.bind(Refusals, FileRefusals(tmp_path / "refusals"))
    made.app.include_router(routes.router)
    return made


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do this once, right after the next request was let in at the door."""
    known, waits = identity.authenticate, [act]

    def authenticate(*given: Any, **more: Any) -> Any:
        caller = known(*given, **more)
        while waits:
            waits.pop()()
        return caller

    monkeypatch.setattr("weighthouse.web.door.identity.authenticate", authenticate)


ENDS = [
    one for one in FOREIGN if not one.startswith("signed out") and one != "a freeze"
]  # that access refuses itself


@pytest.mark.parametrize("how", ENDS)
def test_a_request_whose_session_was_ended_since_it_came_in_is_refused(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    owner, thief = lab.sign_in("ada"), twice(lab, "ada")
    thief.enrol("mine")
    me = thief.get("me")
    monkeypatch.setattr(thief, "get", lambda _path: me)  # what `end_by` asks for was known before
    meanwhile(monkeypatch, lambda: end_by(lab, how, thief, owner))
    refused = problem(lambda: thief.post("/requests", ASK))
    assert refused == (401, "identity.session_ended")
    assert lab.sql("SELECT count(*) FROM access_request")[0][0] == 0
    while audit.sequence(lab.system):
        pass
    assert [one for one in lab.told("CredentialRefused", "subject_id") if one == me["session"]] == [me["session"]]


def test_a_browser_that_signed_out_in_another_window_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = twice(lab, "ada")
    meanwhile(monkeypatch, ada.sign_out)
    assert problem(lambda: ada.post("/requests", ASK)) == (401, "identity.session_ended")
    assert lab.sql("SELECT count(*) FROM access_request")[0][0] == 0


@pytest.mark.parametrize("path", ["sessions/not-me", "sessions/{}/end", "devices/{}/end"])
def test_what_ends_ones_own_session_is_answered(lab: Lab, path: str) -> None:
    ada = twice(lab, "ada")
    device = ada.enrol("mine")["id"]
    named = str(device) if path.startswith("devices") else str(ada.get("me")["session"])
    ada.post(path.format(named), {"reason": "gone"} if path.endswith("/end") else None)
    assert lab.log("CredentialRefused") == []
