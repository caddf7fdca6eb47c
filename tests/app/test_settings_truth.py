"""One resolver of settings: what `config explain` says is what the server of that folder has, and nothing planted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.running import within
from tests.app.serving import Server
from weighthouse.app import truth
from weighthouse.app.home import Home
from weighthouse.app.initialise import load_settings
from weighthouse.core import written
from weighthouse.core.errors import Invalid


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()


def explained(state: Path, cwd: Path, **environment: str) -> dict[str, tuple[str, str]]:
    command = [sys.executable, "-m", "weighthouse.cli", "config", "explain", "--state", str(state), "-o", "json"]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=True
    )
    return {row["name"]: (row["value"], row["source"]) for row in json.loads(done.stdout)["items"]}


def test_explain_tells_the_running_servers_truth_and_else_what_it_would_be(server: Server, tmp_path: Path) -> None:
    home, elsewhere = Home(server.state), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weighthouse.toml").write_text("[server]\nport = 4444\n")  # planted beside whoever calls
    home.settings_file.write_text('mode = "development"\n[log]\nbacklog = 4711\n')
    resolved, _ = load_settings({}, state=server.state)
    before = explained(server.state, elsewhere)
    assert before == {row.name: (row.value, row.source) for row in resolved.explain()}
    assert before["server.port"] == ("8040", "default")
    assert before["log.backlog"] == ("4711", str(home.settings_file))
    server.start()
    within("the server's word", lambda: truth.running(home))
    home.settings_file.write_text('mode = "development"\n')  # takes effect with the next start only
    during = explained(server.state, elsewhere, WEIGHTHOUSE_SERVER_PORT="5555")
    assert during["server.port"] == (str(server.port), "flag")
    assert during["log.backlog"] == ("4711", str(home.settings_file))
    assert (home.root / truth.NAME).stat().st_mode & 0o777 == 0o600
    server.signal(signal.SIGKILL)  # what it told outlives it and is not believed
    assert explained(server.state, elsewhere)["server.port"] == ("8040", "default")


def test_planted_settings_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, "planted")  # relative, so it would mean the working directory
    (tmp_path / "planted" / "weighthouse").mkdir(parents=True)
    (tmp_path / "planted" / "weighthouse" / "config.toml").write_text("[server]\nport = 4444\n")
    settings, home = load_settings({}, state=tmp_path / "state")
    assert settings.integer("server.port") == 8040
    home.root.mkdir()
    home.settings_file.write_text("[server]\nport = 4444\n")
    home.settings_file.chmod(0o666)
    with pytest.raises(Invalid) as refused:
        load_settings({}, state=tmp_path / "state")
    assert refused.value.code == "core.planted_settings"


def test_a_settings_file_that_cannot_be_read_is_not_called_bad_toml(tmp_path: Path) -> None:
    home = Home(tmp_path / "state")
    home.settings_file.mkdir(parents=True)
    with pytest.raises(Invalid) as refused:
        load_settings({}, state=home.root)
    assert refused.value.code == "core.unreadable_file"
    home.settings_file.rmdir()
    os.mkfifo(home.settings_file)  # must not hang the start
    with pytest.raises(Invalid) as refused:
        load_settings({}, state=home.root)
    assert refused.value.code == "core.unreadable_file"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1", "utf-32"])
def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "lab.yaml"
    path.write_bytes("lab: Zürich\n".encode(encoding))
    with pytest.raises(Invalid) as refused:
        written.read_text(path)
    assert refused.value.code == "core.not_utf8" and str(path) in refused.value.message
    path.write_bytes("lab: Zürich\r\n".encode())
    assert written.read_text(path) == "lab: Zürich\r\n"
