"""`weighthouse redteam run` against a kept development server: really played there, and refused in production."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.app.serving import Server
from weighthouse.app.demo.actor import Actor
from weighthouse.app.redteam import EXERCISE
from weighthouse.core.work import read
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.dev_idp.people import STEP
from weighthouse_sdk.client import ProblemError


def test_a_kept_server_is_attacked_itself(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        server.start()
        kim = server.actor("kim")
        wanted = ["self-approval", "stolen-token", "lifted-hold", "wrong-image", "unknown-host"]
        found = {}
        for name in wanted:  # one request each, as the command line sends them
            (found[name],) = kim.client.post("attacks/run", {"scenarios": [name]})["items"]
        assert {name: one["status"] for name, one in found.items()} == {
            "self-approval": "BLOCKED",
            "stolen-token": "BLOCKED",
            "lifted-hold": "BLOCKED",
            "wrong-image": "BLOCKED",  # the example lab lists no images before somebody pins them: on its copy it does
            "unknown-host": "BLOCKED",
        }
        assert kim.alive()  # the theft of a session ends the victim's, not the red team's
        with pytest.raises(ProblemError) as refusal:
            server.actor("eve").client.post("attacks/run", {"scenarios": ["self-approval"]})
        assert refusal.value.status == 403
        assert server.signal(signal.SIGTERM) == 0
    finally:
        server.close()


STOLEN = {"scenarios": ["stolen-token"]}


def keys_of(server: Server, person: str) -> list[str]:
    system = server.system()
    try:
        with read(system) as unit:
            return [one.name for one in identity.devices_of(unit, person)]
    finally:
        system.database.close()


def played(kim: Actor) -> str:
    """Play the theft; a code of Ivo's that was used a moment ago opens nothing, so wait for the next one."""
    for _ in range(3):
        (found,) = kim.client.post("attacks/run", STOLEN)["items"]
        if found["status"] != "NOT RUN":
            break
        time.sleep((STEP - time.time() * 1000 % STEP) / 1000)
    return str(found["status"])


def test_an_exercise_ends_its_own_keys_and_nothing_of_a_colleagues(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        server.start()
        ivo, kim = server.actor("ivo", enrol=True), server.actor("kim")
        (own,) = keys_of(server, "ivo")
        for _ in range(2):
            assert played(kim) == "BLOCKED"
            assert ivo.alive()  # somebody else is Ivo here, and works on
            assert keys_of(server, "ivo") == [own, f"{EXERCISE} ivo"]
            server.signal(signal.SIGKILL)  # what a killed server left ends with the next exercise
            server.start()
        assert played(kim) == "BLOCKED"
        assert server.signal(signal.SIGTERM) == 0
        assert keys_of(server, "ivo") == [own]
    finally:
        server.close()
