"""How the demo behaves around the play: its voice on narrow and wide terminals, busy ports, impatient people."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest

from weighthouse.app.demo.stage import Stage
from weighthouse.app.demo.tell import Tell
from weighthouse.app.home import SOCKET_LIMIT, Home
from weighthouse.cli.demo import Interrupt
from weighthouse.core.errors import Unavailable

LONG = "who can train with, load or save model/tern: Ada (researcher), and nobody else, whatever they were told by others"
SPEAK = f"""
import sys
from weighthouse.app.demo.tell import Tell
tell = Tell(); tell.banner(); tell.step(1, "A step"); tell.progress("half way ..."); tell.held(True, {LONG!r})
tell.line({LONG!r}); tell.stopped("BLOCKED", "Approve your own request", "access: access.self_approval, log line 62")
"""


def on_a_terminal(columns: int, **environment: str) -> str:
    """Return what the voice writes to a pseudo-terminal that is `columns` wide."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", SPEAK], stdout=theirs, check=True, timeout=60,
        env={**os.environ, "COLUMNS": str(columns), **environment},
    )  # fmt: skip
    os.close(theirs)
    assert done.returncode == 0
    found = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        found += part
    os.close(ours)
    return found.decode()


def lines_of(written: str) -> list[str]:
    return [line.rstrip("\r").rsplit("\r", 1)[-1] for line in click.unstyle(written).split("\n")]


@pytest.mark.parametrize("columns", [80, 200])
def test_no_line_is_wider_than_the_terminal_and_none_loses_a_word(columns: int) -> None:
    written = on_a_terminal(columns)
    lines = lines_of(written)
    assert max(map(len, lines)) <= columns
    words = " ".join(" ".join(lines).split())
    assert words.count(LONG) == 2
    assert "half way ..." in written
    told = next(line for line in lines if "BLOCKED" in line)
    assert ("log line 62" in told) == (columns == 200)


def test_a_pipe_gets_whole_lines_without_colour_or_progress() -> None:
    done = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, text=True, check=True, timeout=60)
    assert LONG in done.stdout and "\x1b" not in done.stdout and "half way" not in done.stdout


def test_a_terminal_that_knows_only_ascii_is_spoken_to_in_ascii() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, check=True, timeout=60, env=environment)
    assert b"DEMO KEYS" in done.stdout and done.stdout.isascii()


def test_what_did_not_hold_is_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Tell()
    tell.held(True, "one")
    tell.held(False, "two")
    assert (tell.held_count, tell.failures) == (1, ["two"])
    assert "FAIL two" in click.unstyle(capsys.readouterr().out)


def test_a_port_that_somebody_else_holds_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        before = set(Path(tempfile.gettempdir()).glob("wh-demo-*"))
        with pytest.raises(Unavailable) as refusal, Stage(port=busy.getsockname()[1]):
            pass
    assert refusal.value.code == "app.cannot_listen"
    assert "something else listens there" in refusal.value.message
    assert set(Path(tempfile.gettempdir()).glob("wh-demo-*")) <= before


def test_a_temporary_folder_that_is_not_there_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(Unavailable) as refusal, Stage():
        pass
    assert (refusal.value.code, "TMPDIR" in refusal.value.remedy) == ("app.no_room", True)


def test_the_second_signal_does_not_disturb_the_clearing_up(capsys: pytest.CaptureFixture[str]) -> None:
    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, None)
    interrupt(signal.SIGINT, None)
    assert "Still clearing up" in capsys.readouterr().err


def test_sockets_have_a_short_path_wherever_the_state_lies_and_only_serving_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("deep" * 30)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    home = Home(deep / "state")
    assert len(str(home.sockets)) <= SOCKET_LIMIT
    home.make()
    assert not home.sockets.exists()
    home.make_sockets()
    assert home.sockets.stat().st_mode & 0o777 == 0o700
    home.forget_sockets()
    assert not home.sockets.exists()
