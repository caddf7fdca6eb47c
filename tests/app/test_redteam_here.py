"""`weighthouse redteam run` against a kept development server: really played there, and refused in production."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.app.serving import Server
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
