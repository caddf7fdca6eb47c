"""Deals out the places for connections by address. Guards a person's freeze from one peer with many sockets.

The server in front of our application takes so many connections and no more, from whomever. Attack: one address keeps
eight hundred polite ones, each with a request every few seconds, and nobody else comes in. So no address holds more
than a quarter of the places, and when they run out those who hold the most lose the surplus, idle ones first. An IPv6
address counts by its /64, and 127.0.0.0/8 as one but for 127.0.0.1. A trusted proxy speaks for many and is left alone
and deals out its own. Who has hundreds of networks is not stopped by this. Sources: tcp(7), struct tcp_info.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections import Counter
from collections.abc import Collection, Iterator

import msgspec

from weighthouse.app.connections import TCP_INFO_BYTES, Watch, shut, sockets

CALM_S, BUSY_S = 1.0, 0.2
_RECEIVED_AT = 52  # struct tcp_info: tcpi_last_data_recv, in milliseconds
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Held(msgspec.Struct, frozen=True):
    """One connection: its descriptor and the socket behind it, whose it is, and for how long it has said nothing."""

    descriptor: int
    socket: int
    peer: str
    silent: int


def peer_of(address: str) -> str:
    """Whom an address counts as."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback and str(ip) not in ("127.0.0.1", "::1"):
        return "127.0.0.0/8"  # of which any program here may take as many as it likes
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


def share(counts: Collection[int], places: int, free_for_them: int) -> int:
    """The most that one peer may hold: a quarter of the places, less while all together hold more than may be."""
    most = max(1, places // 4)
    while most > 1 and sum(min(one, most) for one in counts) > free_for_them:
        most -= 1
    return most


class Places(Watch):
    """Watches the connections of one port of ours until `stop`."""

    def __init__(self, port: int, places: int, *, proxies: Collection[Network] = ()) -> None:
        super().__init__("places", CALM_S)
        self._port, self._places, self._proxies = port, places, proxies

    def _look(self) -> float:
        return BUSY_S if self.look() > self._places // 4 else CALM_S

    def look(self) -> int:
        """Shut what is above the shares; return how many connections there were."""
        held = [one for one in self._held() if one is not None]
        counts = Counter(one.peer for one in held if one.peer)
        of_proxies = len(held) - counts.total()
        most = share(counts.values(), self._places, self._places * 7 // 8 - of_proxies)
        for one in sorted(held, key=lambda one: -one.silent):
            if counts[one.peer] > most:
                counts[one.peer] -= 1
                _shut(one)
        return len(held)

    def _held(self) -> Iterator[Held | None]:
        """Every connection that our listener has accepted; one descriptor of our own at a time."""
        for descriptor, one in sockets():
            with contextlib.suppress(OSError), one:
                yield self._one(descriptor, one)

    def _one(self, descriptor: int, one: socket.socket) -> Held | None:
        if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
            return None
        if one.getsockname()[1] != self._port or one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        address = str(one.getpeername()[0])
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        silent = int(struct.unpack_from("I", info, _RECEIVED_AT)[0])
        peer = "" if self._trusts(address) else peer_of(address)
        return Held(descriptor, os.fstat(one.fileno()).st_ino, peer, silent)

    def _trusts(self, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in network for network in self._proxies)


def _shut(held: Held) -> None:
    """Shut a connection, if its descriptor is still the one that was looked at."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(held.descriptor)) as one:
        if os.fstat(one.fileno()).st_ino == held.socket:
            shut(one)
