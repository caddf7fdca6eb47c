"""SIGKILL of the whole server while it executes a run: nothing of the run lives on, and the next start tells its end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.running import alive, ended, ends_in_log, going, grant, processes, submit, within
from tests.app.serving import Server
from weighthouse.app.home import Home


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("WEIGHTHOUSE_RUNS_SANDBOX", "bubblewrap")
    made = Server(tmp_path)
    yield made
    made.close()


def left(server: Server) -> set[str]:
    """Names of everything below the folder of sockets and the folder of runs."""
    home = Home(server.state)
    return {path.name for folder in (home.sockets, home.runs) for path in folder.rglob("*")}


@pytest.mark.parametrize("moment", ["going", "being prepared"])
def test_egress_case_57_a_killed_server_takes_its_run_along_and_the_next_start_tells_it(
    server: Server, moment: str
) -> None:
    server.start()
    ada = server.actor("ada")
    grant(ada)
    run = submit(ada)
    if moment == "going":
        going(ada, run)
        lines = list(processes(server).values())
        assert any("envoy" in line for line in lines), lines
        assert sum(line.split()[:1] != [] and "main.py" in line.split() for line in lines) >= 2, lines
    else:
        within("the runner takes it", lambda: ada.client.get(f"runs/{run}")["state"] != "queued")
        within("something of it is started", lambda: processes(server))
    begun = processes(server)
    assert server.signal(signal.SIGKILL) == -signal.SIGKILL
    within("every process is gone, before any server is started again", lambda: not alive(begun))

    server.start()
    assert processes(server) == {}
    found = ended(ada, run)
    assert (found["state"], found["reason"]) == ("failed", "runs.server_died")
    assert ends_in_log(server.actor("chi"), run) == ["runs.RunFailed"]
    assert left(server) == {"judge", "w", ".lock", ".turn"}

    again = submit(ada, "print('going')")
    assert ended(ada, again)["state"] == "succeeded"
    assert server.signal(signal.SIGTERM) == 0
    assert left(server) <= {"w", ".lock", ".turn"}  # the empty folder stays where it lies inside the state folder
