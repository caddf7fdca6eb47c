"""What a run reads, and when it does not, is seen by the destination: reading on after standing still is paid for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.egress.outside import Sink

from weighthouse.egress.adapters.envoy_config import forwarding_socket
from weighthouse.egress.adapters.forwarder import CHUNK
from weighthouse.egress.adapters.forwarding import Forwarding
from weighthouse.egress.model import Destination
from weighthouse.egress.ports import ProxySpec

NAME = "mirror.test:80"
MIB = 1 << 20


class Source(Sink):
    """Sends as much as anybody takes, and counts it."""

    def _drain(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            while True:
                connection.sendall(bytes(65536))
                self.received += 65536


class Way:
    """The real forwarder of one way to a source, lent `credit` bytes in all."""

    def __init__(self, folder: Path, port: int, credit: int) -> None:
        place = Destination(
            host="mirror.test", port=80, tls=False, addresses=("127.0.0.1",), address_port=port, rate=MIB
        )
        self._spec = ProxySpec(
            run="run_one", token="", folder=folder, socket=folder / "w", judge=folder / "j", broker=folder / "b",
            destinations=(place,),
        )  # fmt: skip
        self.forwarding, self.credit, self._over = Forwarding(self._spec), credit, threading.Event()
        self._feeding = threading.Thread(target=self._feed, daemon=True)
        self._feeding.start()

    def _feed(self) -> None:
        while not self._over.is_set():
            self.forwarding.feed({NAME: self.credit}, self.forwarding.count().made)
            self._over.wait(0.1)

    def open(self) -> socket.socket:
        inside = socket.socket(socket.AF_UNIX)
        inside.connect(str(forwarding_socket(self._spec, 0)))
        inside.settimeout(3)
        return inside

    @property
    def sent(self) -> int:
        return self.forwarding.count().sent[NAME]

    def close(self) -> None:
        self._over.set()
        self._feeding.join()
        self.forwarding.cut()


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    yield made
    made.close()


def still(source: Source) -> None:
    """Wait until nobody takes anything any more."""
    seen, since = source.received, time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.05)
        if source.received != seen:
            seen, since = source.received, time.monotonic()


def read(inside: socket.socket, most: int) -> int:
    """Read as much, or what there is until nothing comes for a while."""
    count = 0
    with contextlib.suppress(TimeoutError):
        while count < most and (data := inside.recv(65536)):
            count += len(data)
    return count


def test_a_run_that_reads_and_does_not_read_pays_for_each_time_that_the_destination_sees(
    short: Path, source: Source
) -> None:
    """20 bytes a second left by it without a byte charged: 64 tunnels, each takes 576 KiB for a one."""
    way = Way(short, source.port, credit=MIB)
    with way.open() as inside:
        for _ in range(4):
            still(source)
            before, seen = way.sent, source.received
            assert read(inside, 576 * 1024) >= 576 * 1024
            still(source)
            assert source.received == seen or way.sent > before, "the destination was told something for nothing"
        assert source.received > 4 * 512 * 1024 and way.sent >= 4
    way.close()


def test_nothing_is_told_by_reading_that_is_not_paid_for_and_an_honest_download_pays_little(
    short: Path, source: Source
) -> None:
    way = Way(short, source.port, credit=3)
    with way.open() as inside:
        still(source)
        taken = source.received
        few = read(inside, 64 * MIB)
        assert few < 64 * MIB and way.sent == 3, "it reads on without credit"
        assert source.received <= taken + 4 * CHUNK + 16 * MIB  # and what the kernels between hold
        way.credit = MIB
        assert read(inside, 64 * MIB) >= 64 * MIB
        assert way.sent <= 64 * MIB // 65536
    way.close()
