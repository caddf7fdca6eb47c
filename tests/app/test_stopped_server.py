"""SIGSTOP of the whole server while it executes a run: the run ends at its time all the same, and is told of once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.running import DAEMON, alive, ended, ends_in_log, going, grant, processes, submit, within
from tests.app.serving import Server


@pytest.fixture(params=["bubblewrap", pytest.param("gvisor", marks=pytest.mark.real_gvisor)])
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Server]:
    monkeypatch.setenv("WEIGHTHOUSE_RUNS_SANDBOX", request.param)
    made = Server(tmp_path)
    yield made
    made.close()


def test_a_run_does_not_outlive_its_time_while_its_server_stands_still(server: Server) -> None:
    server.start()
    ada = server.actor("ada")
    grant(ada)
    run = submit(ada, DAEMON, wall_clock_s=12)
    going(ada, run)
    begun = processes(server)
    inside = {mark: line for mark, line in begun.items() if "main.py" in line or "runsc" in line}
    assert inside, begun
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        within("nothing of the run is left, though its server stands still", lambda: not alive(inside))
    finally:
        server.process.send_signal(signal.SIGCONT)
    found = ended(ada, run)
    assert (found["state"], found["reason"]) == ("failed", "runs.out_of_time")
    assert ends_in_log(server.actor("chi"), run) == ["runs.RunFailed"]
    assert submit(ada, "print('going')")  # and the server goes on
