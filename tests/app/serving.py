"""A real server process over a state folder of its own, for tests that start it, kill it and start it again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from weighthouse.app.demo.actor import Actor
from weighthouse.app.home import Home, database_url
from weighthouse.app.initialise import initialise, load_settings, reopen
from weighthouse.app.provider import dev_secret
from weighthouse.app.server import free_port
from weighthouse.app.wiring import bind_keys
from weighthouse.core.clock import SystemClock
from weighthouse.core.database import Database
from weighthouse.core.work import System
from weighthouse.keys.adapters.embedded import SealedKeys

PASSPHRASE = "a passphrase for tests only"
START_LIMIT_S = 60


class Server:
    """`weighthouse serve` as an operator runs it. Every process it starts, it ends by its id."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        self.state = folder / "state"
        self.port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"
        self.passphrase = folder / "passphrase"
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_text(PASSPHRASE)
        self.log = folder / "server.log"
        self.flags = {"server.port": self.port, "database.url": database_url or None, "keys.scrypt_cost": 1024}
        self.process: subprocess.Popen[bytes] | None = None
        self._actors: list[Actor] = []
        settings, home = load_settings({**self.flags, "mode": "development"}, state=self.state)
        initialise(settings, home, PASSPHRASE).database.close()

    def system(self) -> System:
        """Open the state in this process, for looking; nothing is served."""
        settings, home = load_settings(self.flags, state=self.state)
        return reopen(settings, home, PASSPHRASE)

    def start(self) -> None:
        command = [sys.executable, "-m", "weighthouse.cli", "serve", "--state", str(self.state)]
        command += ["--port", str(self.port), "--passphrase-file", str(self.passphrase)]
        url = str(self.flags["database.url"] or "")
        environment = {**os.environ, **({"WEIGHTHOUSE_DATABASE_URL": url} if url else {})}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.log.read_text()[-2000:]}")

    def signal(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; return the exit status (negative: the signal's number)."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        self.process = None
        return status

    def close(self) -> None:
        for actor in self._actors:
            actor.client.close()
        if self.process is not None:
            self.signal(signal.SIGKILL)
        shutil.rmtree(Home(self.state).sockets, ignore_errors=True)  # it may lie outside the test's own folder

    def actor(self, person: str, *, enrol: bool = False) -> Actor:
        """Sign a person in over HTTP."""
        system = self._keys()
        actor = Actor.sign_in(system, self.url, person, dev_secret(system, person), enrol=enrol)
        self._actors.append(actor)
        return actor

    def _keys(self) -> System:
        """The keys alone, of which people's passwords are derived: nothing of the database is opened for them."""
        settings, home = load_settings(self.flags, state=self.state)
        system = System(settings, SystemClock(), Database(database_url(settings, home)))
        bind_keys(system, SealedKeys.open(home.keys_file, PASSPHRASE))
        return system
