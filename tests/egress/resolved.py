"""A lab whose names are answered by a hostile name server, in a network of its own: for `test_resolved.py`.

Run by `unshare --user --map-root-user --net --mount`. The resolver is the machine's, the packets are real, and so are
Envoy, the forwarder and the receiver, which listens on an address of the outside that this network gave itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from tests.egress.outside import Sink, ask, certificate, connect, dial, greet
from tests.egress.world import World, entry, lab_text
from weighthouse.core.clock import SystemClock
from weighthouse.core.database import Database

PUBLIC = "8.8.4.4"
ANSWERS = {
    "honest.test": [PUBLIC],
    "nat64.test": ["64:ff9b::a9fe:a9fe"],
    "sixtofour.test": ["2002:a9fe:a9fe::1"],
    "mapped.test": ["::ffff:169.254.169.254"],
    "teredo.test": ["2001:0:4136:e378:8000:63bf:5601:5601"],
    "azure.test": ["168.63.129.16"],
    "oracle.test": ["192.0.0.192"],
    "many.test": [PUBLIC, "10.0.0.1"],
    "rebinding.test": [PUBLIC],
}
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, UP = 0x8913, 0x8914, 0x8916, 1


class NameServer(threading.Thread):
    """Answers A and AAAA; every name is answered 127.0.0.1 once it was asked for in both kinds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.asked: dict[str, int] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))

    def run(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, (kind,) = ".".join(labels).lower(), struct.unpack("!H", query[at + 1 : at + 3])
        self.asked[name] = self.asked.get(name, 0) + 1
        wanted = ANSWERS.get(name, []) if self.asked[name] <= 2 else ["127.0.0.1"]
        found = [ipaddress.ip_address(one) for one in wanted]
        records = [one.packed for one in found if (one.version == 4) == (kind == 1)]
        head = query[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, len(records), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(one)) + one for one in records)
        return head + query[12 : at + 5] + body


def network(folder: Path) -> None:
    """Bring loopback up, with a second address that looks like one of the outside; let the resolver ask us."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, address in (("lo", "127.0.0.1"), ("lo:1", PUBLIC)):
            wanted = struct.pack("16sH2s4s8s", name.encode(), socket.AF_INET, b"", socket.inet_aton(address), b"")
            fcntl.ioctl(control, SIOCSIFADDR, wanted)
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14s", name.encode(), UP, b""))
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", folder / "resolv.conf", "/etc/resolv.conf"], check=True)


def main(folder: Path) -> None:
    network(folder)
    server = NameServer()
    server.start()
    hub = Sink(certificate(folder), address=PUBLIC)
    database = Database(f"sqlite:///{folder}/ledger.db")
    database.create_all()
    world = World(database, SystemClock(), folder, folder)
    world.publish(lab_text([entry(name, hub.port, address=None) for name in ANSWERS], total="10MiB"))
    way = world.open()
    statuses = {name: connect(way.socket, f"{name}:{hub.port}") for name in ANSWERS}
    for name in ("honest.test", "rebinding.test"):
        with dial(way.socket) as connection, contextlib.suppress(OSError):
            ask(connection, f"{name}:{hub.port}")
            with greet(connection, name) as inside:
                inside.sendall(b"hello")
                hub.wait_for(5)
    seen = {
        "statuses": statuses,
        "asked": server.asked,
        "connections": hub.connections,
        "unresolved": world.facts("egress.WayOpened")[0]["unresolved"],
        "refused": {fact["host"]: fact["code"] for fact in world.facts("egress.Refused")},
    }
    print(json.dumps(seen), flush=True)
    world.close()
    database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
