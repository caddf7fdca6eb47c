"""What a proxy must do, whichever program provides it: one way out per run, counted, cuttable.

Guards against a way that outlives its run or carries uncounted bytes. Contract suite: tests/ports/test_proxy.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from weighthouse.egress.model import Destination, Key


class ProxySpec(msgspec.Struct, frozen=True, kw_only=True):
    """One way. `folder` is private to the proxy; `socket` is the only thing the run sees; `token` names the way."""

    run: str
    token: str
    folder: Path
    socket: Path
    judge: Path
    broker: Path
    destinations: tuple[Destination, ...]

    def __repr__(self) -> str:
        return f"ProxySpec(run={self.run!r}, token=…)"


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """What a way has carried, by `host:port`: bytes sent out, handshakes included, and connections really made.

    `held` is what was taken in and has not left yet: it is spoken for, and no order takes it back.
    """

    sent: dict[str, int]
    held: dict[str, int]
    made: dict[str, int]
    unfed: int
    """How often every connection was reset because nobody had fed the way for two seconds."""


class ProxyHandle(Protocol):
    """A started proxy. It sends nothing until it is fed, and stops by itself when it is not fed again."""

    @property
    def pids(self) -> tuple[int, ...]: ...

    def count(self) -> Count:
        """Return the counts of now; raises `egress.uncounted` if they are unknown."""

    def feed(self, granted: Mapping[str, int], told: Mapping[str, int]) -> None:
        """Lend, for two seconds: `granted` bytes in all by `host:port`, over the first `told` connections to it.

        Fewer than before take back what is neither sent nor held.
        """

    def wait(self, timeout_ms: int) -> None:
        """Return when a connection was made or one waits for credit, at the latest after `timeout_ms`."""

    def alive(self) -> bool: ...

    def cut(self) -> None:
        """End the proxy and every connection in it now, and wait until it is gone."""


class Proxy(Protocol):
    """A driver. `digest` names the bytes of the program."""

    @property
    def digest(self) -> str: ...

    def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """Return every address that a name has now, as numbers; none when it has none."""

    def start(self, spec: ProxySpec) -> ProxyHandle:
        """Start a proxy and return once it accepts on `socket`; raises `egress.proxy_failed` with nothing left."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a proxy asks before it lets a connection through.

    `outer` questions carry the authority that the workload named; inner ones the destination it was let through to
    and the name in the TLS greeting inside, empty when there is none. `tunnel` is false for what is not a CONNECT.
    """

    token: str
    kind: str
    authority: str
    server_name: str = ""
    tunnel: bool = True


class Judge(Protocol):
    """Answers questions of proxies; False is also the answer to anything that goes wrong."""

    def __call__(self, question: Question) -> bool: ...


class Books(Protocol):
    """What this server itself has debited, kept where no hand in the database reaches; it outlives the process."""

    def add(self, debits: Sequence[tuple[Key, int, int]]) -> None:
        """Add bytes (account, bucket, count); a negative count takes back. Raises `core.not_kept`."""

    def of(self, key: Key) -> Mapping[int, int]:
        """The bytes of an account by bucket."""

    def forget_before(self, bucket: int) -> None:
        """Drop buckets that no window reaches any more."""
