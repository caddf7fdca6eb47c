"""The log's judges of other projects, built by `make parts`: how they are started, and what they need around them."""

from __future__ import annotations

import base64
import http.server
import os
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse.audit.rules.note import COSIGNATURE_ED25519, ED25519, VerifierKey, key_id
from weighthouse.audit.rules.tree import EMPTY_ROOT

JUDGES = Path(__file__).parents[2] / ".parts" / "bin" / "tlog"
DEADLINE_S = 60


def judge(program: str, *arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the programs to its end."""
    assert (JUDGES / program).is_file(), "run `make parts` before the tests marked real_tlog"
    command = [str(JUDGES / program), *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=DEADLINE_S)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder on loopback; yield the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def fsck(address: str, key: Path) -> str | None:
    """Let Tessera's fsck check the log at `address`; return why it failed, None if it did not.

    The program exits 0 in either case and says on standard error what it found, so that is what is read.
    """
    done = judge("fsck", "--ui=false", "--N=2", f"--storage_url={address}", f"--public_key={key}", "--v=1")
    assert done.returncode == 0, done.stderr
    failed = [line for line in done.stderr.splitlines() if "fsck failed" in line]
    assert failed or "Completed ranges" in done.stderr, done.stderr
    return failed[0] if failed else None


def private_note_key(name: str, seed: bytes) -> tuple[str, VerifierKey]:
    """Return a note key pair in the text form that x/mod/sumdb/note reads, and its verifier key."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    ident = key_id(name, ED25519, public).hex()
    material = base64.b64encode(bytes([ED25519]) + seed).decode()
    return f"PRIVATE+KEY+{name}+{ident}+{material}", VerifierKey(name, ED25519, public)


class LiteWitness:
    """torchwood's litewitness with a key agent of its own, watching the logs whose keys it was given."""

    def __init__(self, folder: Path, name: str, seed: bytes, logs: list[VerifierKey]) -> None:
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        self.key = VerifierKey(name, COSIGNATURE_ED25519, public)
        self._database = folder / "litewitness.db"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._sockets = tempfile.TemporaryDirectory(prefix="whtlog-", dir="/tmp")  # a socket's path must be short
        agent = Path(self._sockets.name) / "agent"
        print_of = self._start("agent", agent, given=seed)
        self._await(agent.exists)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._log = folder / "litewitness.log"
        self._start(
            "litewitness", f"-name={name}", f"-db={self._database}", f"-ssh-agent={agent}",
            f"-listen=127.0.0.1:{self._port}", f"-key={print_of}", log=self._log,
        )  # fmt: skip
        self._await(self._answers)
        for log in logs:
            self._watch(log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _start(self, program: str, *arguments: object, given: bytes = b"", log: Path | None = None) -> str:
        assert (JUDGES / program).is_file(), "run `make parts` before the tests marked real_tlog"
        with (log or Path(os.devnull)).open("wb") as errors:
            process = subprocess.Popen(
                [str(JUDGES / program), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._processes.append(process)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(given)
        process.stdin.close()
        return process.stdout.readline().decode().strip() if given else ""

    def _await(self, ready: object) -> None:
        assert callable(ready)
        ends = time.monotonic() + DEADLINE_S
        while not ready():
            assert time.monotonic() < ends and self._processes[-1].poll() is None, self._said()
            time.sleep(0.02)

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace") if self._log.exists() else "no output"

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _watch(self, log: VerifierKey) -> None:
        """Do what `witnessctl add-log` and `add-key` do; that program needs a module that is not served everywhere."""
        with sqlite3.connect(self._database) as database:
            empty = base64.b64encode(EMPTY_ROOT).decode()
            database.execute("INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", (log.name, empty))
            database.execute("INSERT INTO key (origin, key) VALUES (?, ?)", (log.name, log.text()))
        database.close()

    def sizes(self) -> dict[str, int]:
        """Return the size it has cosigned last, by origin."""
        database = sqlite3.connect(self._database)
        found = {str(origin): int(size) for origin, size in database.execute("SELECT origin, tree_size FROM log")}
        database.close()
        return found

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._sockets.cleanup()
