"""The server's end of a forwarder: starts it, feeds it credit, reads its counts. Guards against an unfed or dead one.

The pipe is a pair of datagram sockets that nobody else holds: when this process ends, however it ends, the forwarder
reads the end of it and is gone. Every order carries the time since boot at which it was given, so that one that lay
in the pipe while the forwarder was stopped feeds nothing.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weighthouse.core.errors import Unavailable
from weighthouse.core.leash import leashed
from weighthouse.egress.adapters import forwarder
from weighthouse.egress.adapters.envoy_config import forwarding_socket
from weighthouse.egress.ports import Count, ProxySpec

READY_LIMIT_S = 30.0
ANSWER_LIMIT_S = 5.0


class Forwarding:
    """One running forwarder; a way that leads nowhere needs none, and counts nothing."""

    def __init__(self, spec: ProxySpec) -> None:
        self._run = spec.run
        self._names = [f"{one.host}:{one.port}" for one in spec.destinations]
        self._lock = threading.Lock()
        self._asked = 0
        self._process: subprocess.Popen[bytes] | None = None
        if spec.destinations:
            self._start(spec)

    def _start(self, spec: ProxySpec) -> None:
        self._pipe, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pipe.settimeout(READY_LIMIT_S)
        program = [sys.executable, "-I", "-S", str(Path(forwarder.__file__)), str(theirs.fileno())]
        with theirs, (spec.folder / "forwarder.out").open("wb") as out:
            self._process = subprocess.Popen(
                leashed(program),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={},
                start_new_session=True,
                cwd=spec.folder,
                pass_fds=(theirs.fileno(),),
            )
        try:
            places = [
                (str(forwarding_socket(spec, index)), one.addresses, one.address_port, one.tls)
                for index, one in enumerate(spec.destinations)
            ]
            self._pipe.send(json.dumps(places).encode())
            if not self._hear():
                raise OSError("it ended at once")
        except OSError as error:
            self.cut()
            words = (spec.folder / "forwarder.out").read_text("utf-8", "replace").strip()[-300:]
            raise Unavailable(
                "egress.proxy_failed",
                f"The forwarder of the run did not start: {words or error}.",
                "Run `weighthouse doctor`, which tries the proxy by itself.",
            ) from error
        self._pipe.settimeout(ANSWER_LIMIT_S)

    @property
    def pids(self) -> tuple[int, ...]:
        return (self._process.pid,) if self._process else ()

    def count(self) -> Count:
        """Ask for the counts of now."""
        if self._process is None:
            return Count(sent={}, held={}, made={}, unfed=0)
        with self._lock, self._uncounted():
            self._asked += 1
            self._pipe.send(json.dumps({"ask": self._asked}).encode())
            while (answer := self._hear()).get("ask") != self._asked:
                if not answer:
                    raise OSError("the forwarder has ended")
            sent, held, made = (self._named(answer[name]) for name in ("sent", "held", "made"))
            return Count(sent=sent, held=held, made=made, unfed=int(answer["unfed"]))

    def feed(self, granted: Mapping[str, int], told: Mapping[str, int]) -> None:
        """Renew the credit for two seconds from now: whole-life sums of what is lent, and connections on record."""
        if self._process is None:
            return
        order = {
            "at": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            "granted": [granted.get(name, 0) for name in self._names],
            "told": [told.get(name, 0) for name in self._names],
        }
        with self._lock, self._uncounted():
            self._pipe.send(json.dumps(order).encode())

    def wait(self, timeout_ms: int) -> None:
        """Return when the forwarder has news, or after `timeout_ms`."""
        if self._process is None or not self.alive():
            time.sleep(timeout_ms / 1000)
            return
        with contextlib.suppress(OSError, ValueError):  # it may be cut while this waits
            if not select.select([self._pipe], [], [], timeout_ms / 1000)[0]:
                return
            with self._lock:
                if select.select([self._pipe], [], [], 0)[0]:  # unless whoever counted has read it meanwhile
                    self._pipe.recv(forwarder.LARGEST_MESSAGE)

    def alive(self) -> bool:
        return self._process is None or self._process.poll() is None

    def cut(self) -> None:
        """End it and every connection in it now, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._pipe.close()

    def uncounted(self) -> Unavailable:
        """What is raised when nobody can tell what has left."""
        return Unavailable(
            "egress.uncounted",
            f"The bytes of {self._run} cannot be counted, so its way out is cut.",
            "Look at the run's events; submit it again once the machine is healthy.",
        )

    @contextlib.contextmanager
    def _uncounted(self) -> Any:
        try:
            yield
        except (OSError, ValueError, KeyError) as error:
            raise self.uncounted() from error

    def _hear(self) -> dict[str, Any]:
        said = self._pipe.recv(forwarder.LARGEST_MESSAGE)
        return dict(json.loads(said.decode())) if said else {}

    def _named(self, counts: list[int]) -> dict[str, int]:
        return dict(zip(self._names, counts, strict=True))
