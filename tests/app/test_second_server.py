"""One process at a time on a state folder: a second one is refused, names the first, and has touched nothing of it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.running import within
from tests.app.serving import Server
from weighthouse.app.home import Home
from weighthouse.app.lock import StateLock
from weighthouse.app.server import Served, free_port
from weighthouse.cli import exits
from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.weights.adapters import windows
from weighthouse.weights.adapters.lending import MEMORY


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()


def weighthouse(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "weighthouse.cli", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120, check=False)


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """Every file that only a second writer would replace or remove: its inode and its mode.

    The running server itself goes on saying how its log is, in `log-condition.json`.
    """
    return {
        str(path.relative_to(root)): (path.lstat().st_ino, path.lstat().st_mode)
        for path in root.rglob("*")
        if "weighthouse.db" not in path.name and not path.name.startswith("log-condition.json")
    }


def test_a_second_server_or_writer_is_refused_with_who_holds_it_and_changes_nothing(server: Server) -> None:
    server.start()
    assert server.process is not None
    sockets = Home(server.state).sockets
    within(
        "a server that is up", lambda: (sockets / "judge").is_socket() and (server.state / "runs" / ".lock").exists()
    )
    server.actor("ada")
    seen = [listing(server.state)]

    def settled() -> bool:
        """Nothing has been made anew for a second: a server that is up goes on putting its memories in order."""
        time.sleep(1)
        seen.append(listing(server.state))
        return seen[-1] == seen[-2]

    within("a state folder that stays as it is", settled)
    before, outside = listing(server.state), listing(sockets)
    secret = ("--passphrase-file", str(server.passphrase))
    for arguments in (
        ("serve", "--port", str(server.port), *secret),
        ("serve", "--port", str(free_port("127.0.0.1")), *secret),
        ("audit", "accept-fork", "--reason", "a reason that is long enough", *secret),
        ("init", *secret),
    ):
        done = weighthouse(*arguments, "--state", str(server.state))
        assert done.returncode == exits.CONFLICT, done.stderr
        assert "app.state_in_use" in done.stderr and f"process {server.process.pid}" in done.stderr
        assert (listing(server.state), listing(sockets)) == (before, outside)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(sockets / "judge"))
    assert server.actor("ada").client.get("me")["principal"] == "ada"


def test_commands_that_only_read_go_on_beside_a_running_server(server: Server) -> None:
    server.start()
    secret = ("--passphrase-file", str(server.passphrase))
    for arguments in (("init", "--show-accounts", *secret), ("doctor",)):
        done = weighthouse(*arguments, "--state", str(server.state))
        assert "app.state_in_use" not in done.stderr and done.returncode in (exits.OK, exits.CHECK_FAILED), (
            done.stderr
        )
        assert "ada" in done.stdout or "sandbox" in done.stdout


def test_the_lock_of_a_killed_server_is_free_and_what_it_left_is_taken_over_or_removed(server: Server) -> None:
    server.start()
    within("the judge", (Home(server.state).sockets / "judge").is_socket)
    server.signal(signal.SIGKILL)
    assert (Home(server.state).sockets / "judge").is_socket(), "else this shows nothing"
    window = windows.make(MEMORY, windows.mark_of(server.state)) / windows.NAME  # as if killed while a sandbox starts
    window.write_bytes(b"plain weights")
    server.start()
    within("what it left in memory is gone", lambda: not window.parent.exists())
    assert server.actor("ada").client.get("me")["principal"] == "ada"
    assert server.signal(signal.SIGTERM) == 0


def test_of_many_at_once_exactly_one_holds_the_lock(tmp_path: Path) -> None:
    locks = [StateLock(tmp_path) for _ in range(16)]
    gate, refused = threading.Barrier(len(locks)), []

    def take(lock: StateLock) -> None:
        gate.wait()
        try:
            lock.take("serve")
        except Conflict as error:
            refused.append(error.code)

    threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["app.state_in_use"] * 15
    for lock in locks:
        lock.release()
    locks[0].take("serve")
    locks[0].take("serve")
    locks[0].release()


def test_a_lock_that_is_a_link_or_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable) as refused:
        StateLock(tmp_path).take("serve")
    assert refused.value.code == "app.no_lock"
    with pytest.raises(Unavailable) as refused:
        StateLock(tmp_path / "gone").take("serve")
    assert refused.value.code == "app.no_lock"


def test_a_lock_is_not_inherited_by_what_its_holder_starts(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.take("serve")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock.release()
    StateLock(tmp_path).take("serve")
    child.communicate(b"\n", timeout=60)


async def _silent(_scope: object, _receive: object, _send: object) -> None:
    """An application that answers nothing."""


def test_a_socket_that_somebody_answers_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s" / "broker"
    first = Served(_silent, unix=path).start()
    held = path.stat().st_ino
    second = Served(_silent, unix=path)
    with pytest.raises(Unavailable) as refused:
        second.start()
    second.stop()
    assert refused.value.code == "app.cannot_listen" and path.stat().st_ino == held
    first.stop()
    assert not path.exists() and not list(path.parent.iterdir())
