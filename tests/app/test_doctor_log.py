"""`doctor` says how the log of a running server is, by that server's own word, and that nobody looks if none runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, text

from tests.app.running import within
from tests.app.serving import Server
from tests.full_disk import full_at
from weighthouse.app import doctor, truth
from weighthouse.app.home import Home
from weighthouse.app.initialise import load_settings
from weighthouse.core.clock import SECOND
from weighthouse.core.database import Database
from weighthouse.core.jobs import Loop, Timer
from weighthouse.core.work import System


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()


def log_of(server: Server) -> list[tuple[str, str]]:
    settings, home = load_settings(server.flags, state=server.state)
    return [(one.state, one.detail) for one in doctor.examine(settings, home) if one.name == "log"]


def test_doctor_tells_a_whole_log_a_damaged_one_and_that_no_server_runs(server: Server) -> None:
    nobody = [("weak", "no server of this folder runs, so nobody looks after its log")]
    assert log_of(server) == nobody
    server.start()
    within("the log is whole", lambda: [state for state, _ in log_of(server)] == ["ok"])
    engine = create_engine(f"sqlite:///{Home(server.state).database_file}")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM log_entry WHERE idx = 1"))
    engine.dispose()
    within("the lost entry is told", lambda: any("entry 1" in detail for _, detail in log_of(server)))
    assert {state for state, _ in log_of(server)} == {"missing"}
    home = Home(server.state)
    assert (home.root / truth.LOG).stat().st_mode & 0o777 == 0o600
    server.signal(signal.SIGKILL)  # what it told outlives it, and is not believed
    assert (home.root / truth.LOG).exists() and log_of(server) == nobody


def test_what_another_process_or_an_hour_ago_said_of_the_log_is_not_believed(server: Server) -> None:
    server.start()
    home = Home(server.state)
    running = within("its word", lambda: truth.running(home))
    told = within("its word on the log", lambda: truth.log_of(home, running))
    for forged in (
        msgspec.structs.replace(told, process=1),
        msgspec.structs.replace(told, started="7"),
        msgspec.structs.replace(told, looked=told.looked - truth.OLD_S - 1),
    ):
        folder = home.root / "aside"
        folder.mkdir(exist_ok=True)
        (folder / truth.LOG).write_bytes(msgspec.json.encode(forged))
        assert truth.log_of(Home(folder), running) is None


def test_a_full_disk_is_a_word_to_the_operator_and_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make_system: Callable[[Database], System], database: Database
) -> None:
    home = Home(tmp_path)
    with full_at(0):
        loop = Loop(
            make_system(database), [Timer("log-condition", SECOND, lambda _: truth._write(home.root, "x", b"y"))]
        )
        loop.start()
        within("it is told", lambda: "no space left" in caplog.text)
        loop.stop()
    assert "core.no_space" in caplog.text and "Traceback" not in caplog.text


def test_a_lab_file_that_is_none_spoils_no_other_finding(server: Server) -> None:
    lab = server.state / "lab.yaml"
    lab.unlink(missing_ok=True)
    for make in (lambda: os.mkfifo(lab), lab.mkdir, lambda: lab.write_bytes(b"\xff\xfe policy")):
        make()
        settings, home = load_settings(server.flags, state=server.state)
        found = {one.name: one.state for one in doctor.examine(settings, home)}
        assert found["budgets"] == "missing" and found["python"] == "ok" and "witness" in found
        lab.rmdir() if lab.is_dir() else lab.unlink()
