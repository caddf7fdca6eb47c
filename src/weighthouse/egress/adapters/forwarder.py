"""The forwarder of one way, a program of its own: every byte that leaves passes here, and it holds the credit.

Guards the ledger's promise from a control plane that is stopped, swapped out, suspended or dead (a server that is
not running can meter nothing). The credit is spent here, before a byte is handed to the kernel; at zero nothing is
read any more. Whoever does not renew the credit for two seconds, by a clock that also runs while the machine sleeps,
finds every connection reset; when the pipe to the server closes, this program ends. It connects to the addresses it
was given and resolves no name. Executed with `python -I -S`: the standard library only, nothing of ours.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import struct
import sys
import time

CHUNK = 256 * 1024
LONGEST_UNFED_NS = 2_000_000_000
CONNECT_NS = 10_000_000_000
MOST_TUNNELS = 512
LARGEST_MESSAGE = 1 << 17
# What it costs to read on after standing still. Whoever is outside sees which connections take bytes, and when: a run
# that read and did not read told 160 bits a second over 64 of them. An honest one pays as much for a slow chunk.
RESUMED = 1
IN, OUT = select.EPOLLIN, select.EPOLLOUT
BROKEN = select.EPOLLERR | select.EPOLLHUP
NO_WAIT = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
RESET, DRAIN = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)


def now() -> int:
    """Nanoseconds since boot; time asleep counts, and nobody can set this clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Destination:
    """One place outside, with the credit for it. All numbers are whole-life sums of this way."""

    def __init__(self, path: str, addresses: list[str], port: int, greeted: bool) -> None:
        self.addresses = addresses
        self.port = port
        self.greeted = greeted  # the client speaks first, and only after its greeting was judged
        self.granted = self.sent = self.held = self.made = self.told = 0
        self.hungry = -1  # the credit at which the server was last told that a tunnel waits for more
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.listening.bind(path)
        self.listening.listen(MOST_TUNNELS)

    def free(self) -> int:
        """How many bytes may still be taken in; what was taken in and not yet sent is spoken for."""
        return max(0, self.granted - self.sent - self.held)


class Flow:
    """Bytes in one direction: at most one chunk is in hand at any time."""

    def __init__(self) -> None:
        self.hand = memoryview(b"")
        self.ended = False
        self.done = False
        self.stalled = False  # what was in hand was not taken at once, so that going on tells something


class Tunnel:
    """One connection from the proxy (`inside`) and its counterpart `outside`, made once it is needed."""

    def __init__(self, destination: Destination, inside: socket.socket) -> None:
        self.destination = destination
        self.inside = inside
        self.outside: socket.socket | None = None
        self.tries = list(destination.addresses)
        self.number = 0  # which of the made connections it is; 0 while it is none
        self.connect_by = 0
        self.up, self.down = Flow(), Flow()
        inside.setblocking(False)

    def may_send(self) -> bool:
        """Bytes leave only over a connection that the log already tells of, and only on credit."""
        return 0 < self.number <= self.destination.told and self.destination.free() > 0

    def may_read(self) -> bool:
        """Reading on is told to whoever is outside, and is paid for as what is sent."""
        return not self.down.stalled or self.destination.free() >= RESUMED


class Forwarder:
    """The loop. `pipe` leads to the server: JSON messages, one a datagram; its end is the end of everything."""

    def __init__(self, pipe: socket.socket, destinations: list[Destination]) -> None:
        self.pipe = pipe
        self.destinations = destinations
        self.fed_until = 0
        self.poll = select.epoll()
        self.masks: dict[int, int] = {}
        self.tunnels: dict[int, Tunnel] = {}
        self.listeners = {one.listening.fileno(): one for one in destinations}
        self.awake = False
        self.news = False
        self.unfed = 0  # how often nobody had looked for two seconds
        self.buffer = memoryview(bytearray(CHUNK))
        self._want(pipe.fileno(), IN)

    def run(self) -> None:
        while True:
            events = self.poll.poll(self._patience())
            if now() >= self.fed_until and self.awake:
                self._starve()
                continue  # the events told of what is closed now
            for descriptor, mask in events:
                if descriptor == self.pipe.fileno():
                    self._hear()
                elif descriptor in self.listeners:
                    self._accept(self.listeners[descriptor])
                elif descriptor in self.tunnels:
                    self._serve(self.tunnels[descriptor], descriptor, mask)
            self._expire()
            self._speak_up()

    def _patience(self) -> float:
        waits = [one.connect_by for one in set(self.tunnels.values()) if one.connect_by]
        until = min([self.fed_until, *waits]) if self.awake else 0
        return max(0.0, (until - now()) / 1e9) + 0.001 if until else -1

    # the pipe -------------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        said = self.pipe.recv(LARGEST_MESSAGE)
        if not said:
            os._exit(0)  # the server is gone: the kernel closes everything, at once
        order = json.loads(said.decode())
        if "ask" in order:
            self._say(ask=order["ask"])
            return
        self.fed_until = max(self.fed_until, order["at"] + LONGEST_UNFED_NS)
        for one, granted, told in zip(self.destinations, order["granted"], order["told"], strict=True):
            one.granted, one.told = granted, told
        if now() < self.fed_until:
            self._wake()

    def _say(self, **more: int) -> None:
        counts = {name: [getattr(one, name) for one in self.destinations] for name in ("sent", "held", "made")}
        try:
            self.pipe.send(json.dumps({**counts, **more, "unfed": self.unfed}).encode(), NO_WAIT)
        except BlockingIOError:
            return  # a server that does not listen feeds nothing either

    def _speak_up(self) -> None:
        """Tell the server, once, of a new connection or a tunnel that waits for credit, so that none waits long."""
        if self.news:
            self.news = False
            self._say()

    # life and death -------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self.awake = True
        for descriptor in self.listeners:
            self._want(descriptor, IN)
        for tunnel in set(self.tunnels.values()):
            self._settle(tunnel)

    def _starve(self) -> None:
        """Nobody has looked for two seconds: reset every connection, forget the credit, take no new one."""
        self.awake, self.news = False, True
        self.unfed += 1
        for descriptor in self.listeners:
            self._want(descriptor, 0)
        for tunnel in set(self.tunnels.values()):
            self._close(tunnel)
        for one in self.destinations:
            one.granted = 0

    def _expire(self) -> None:
        for tunnel in [one for one in set(self.tunnels.values()) if one.connect_by and now() >= one.connect_by]:
            self._connect(tunnel)

    def _want(self, descriptor: int, mask: int) -> None:
        had = self.masks.get(descriptor, 0)
        if mask == had:
            return
        if not mask:
            self.poll.unregister(descriptor)  # a mask of nothing would still report every hang-up, without end
            del self.masks[descriptor]
            return
        (self.poll.modify if had else self.poll.register)(descriptor, mask)
        self.masks[descriptor] = mask

    # tunnels --------------------------------------------------------------------------------------------------------

    def _accept(self, destination: Destination) -> None:
        try:
            inside, _ = destination.listening.accept()
        except OSError:
            return
        tunnel = Tunnel(destination, inside)
        self.tunnels[inside.fileno()] = tunnel
        if len(self.tunnels) > 2 * MOST_TUNNELS:
            self._close(tunnel)
            return
        self._settle(tunnel)

    def _connect(self, tunnel: Tunnel) -> None:
        """Begin to connect to the next address; without one left, the tunnel ends."""
        self._drop_outside(tunnel)
        tunnel.connect_by = 0
        if not tunnel.tries:
            self._close(tunnel)
            return
        address = tunnel.tries.pop(0)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        socket.inet_pton(family, address)  # a number, never a name: nothing is resolved a second time
        outside = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        outside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)  # if we are killed, nothing is sent after us
        tunnel.outside = outside
        self.tunnels[outside.fileno()] = tunnel
        tunnel.connect_by = now() + CONNECT_NS
        outside.connect_ex((address, tunnel.destination.port))
        self._want(outside.fileno(), OUT)

    def _connected(self, tunnel: Tunnel) -> None:
        assert tunnel.outside is not None
        if tunnel.outside.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._connect(tunnel)
            return
        tunnel.connect_by = 0
        tunnel.destination.made += 1
        tunnel.number = tunnel.destination.made
        self.news = True
        self._settle(tunnel)

    def _serve(self, tunnel: Tunnel, descriptor: int, mask: int) -> None:
        try:
            if not tunnel.number:
                if descriptor == tunnel.inside.fileno():
                    self._first_word(tunnel)
                else:
                    self._connected(tunnel)
                return
            outside = tunnel.outside
            assert outside is not None
            inner = descriptor == tunnel.inside.fileno()
            if inner and mask & select.EPOLLHUP and tunnel.up.done:
                tunnel.down.done = True  # the proxy has left for good; what was sent may still arrive
            if mask & (IN | BROKEN):
                self._take(tunnel, tunnel.up if inner else tunnel.down, tunnel.inside if inner else outside)
            self._give(tunnel, tunnel.up, outside)
            self._give(tunnel, tunnel.down, tunnel.inside)
            self._settle(tunnel)
        except OSError:
            self._close(tunnel)

    def _first_word(self, tunnel: Tunnel) -> None:
        """The greeting was judged, for its first byte is here: only now is the place outside touched."""
        if tunnel.inside.recv(1, socket.MSG_PEEK | NO_WAIT):
            self._want(tunnel.inside.fileno(), 0)
            self._connect(tunnel)
        else:
            self._close(tunnel)

    def _take(self, tunnel: Tunnel, flow: Flow, source: socket.socket) -> None:
        most = CHUNK
        if flow is tunnel.up:
            most = min(CHUNK, tunnel.destination.free()) if tunnel.may_send() else 0
        elif not tunnel.may_read():
            most = 0
        if flow.hand or flow.ended or not most:
            return
        try:
            count = source.recv_into(self.buffer, most, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        flow.ended = not count
        flow.hand = memoryview(bytes(self.buffer[:count]))
        if flow is tunnel.up:
            tunnel.destination.held += count
        elif flow.stalled:
            flow.stalled = False
            tunnel.destination.sent += RESUMED

    def _give(self, tunnel: Tunnel, flow: Flow, target: socket.socket) -> None:
        try:
            if flow.hand:
                count = target.send(flow.hand, NO_WAIT)
                flow.hand = flow.hand[count:]
                flow.stalled = flow.stalled or bool(flow.hand)
                if flow is tunnel.up:
                    tunnel.destination.held -= count
                    tunnel.destination.sent += count
            if flow.ended and not flow.hand and not flow.done:
                flow.done = True
                target.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            flow.stalled = True

    def _settle(self, tunnel: Tunnel) -> None:
        """Listen for exactly what can go on now; end the tunnel when both directions are through."""
        if tunnel.up.done and tunnel.down.done:
            if tunnel.outside is not None:
                tunnel.outside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, DRAIN)
            self._close(tunnel)
            return
        inside, outside, destination = tunnel.inside.fileno(), tunnel.outside, tunnel.destination
        if not destination.free() and destination.hungry != destination.granted:
            destination.hungry, self.news = destination.granted, True
        if not tunnel.number or outside is None:
            if tunnel.connect_by == 0 and destination.free():
                if destination.greeted:
                    self._want(inside, IN)
                else:
                    self._connect(tunnel)
            return
        take_up = not tunnel.up.hand and not tunnel.up.ended and tunnel.may_send()
        take_down = not tunnel.down.hand and not tunnel.down.ended and tunnel.may_read()
        gone = select.EPOLLPRI if tunnel.up.done else 0  # never comes by itself, but lets a hang-up be reported
        self._want(inside, (IN if take_up else 0) | (OUT if tunnel.down.hand else 0) | gone)
        self._want(outside.fileno(), (IN if take_down else 0) | (OUT if tunnel.up.hand else 0))

    def _drop_outside(self, tunnel: Tunnel) -> None:
        if tunnel.outside is not None:
            self._want(tunnel.outside.fileno(), 0)
            self.tunnels.pop(tunnel.outside.fileno(), None)
            tunnel.outside.close()
            tunnel.outside = None

    def _close(self, tunnel: Tunnel) -> None:
        if tunnel.inside.fileno() < 0:
            return
        tunnel.destination.held -= len(tunnel.up.hand)
        tunnel.up.hand = memoryview(b"")
        tunnel.connect_by = 0
        self._drop_outside(tunnel)
        self._want(tunnel.inside.fileno(), 0)
        self.tunnels.pop(tunnel.inside.fileno(), None)
        tunnel.inside.close()


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096) if most > 0 else 4096, most))
    pipe = socket.socket(fileno=int(sys.argv[1]))
    places = json.loads(pipe.recv(LARGEST_MESSAGE).decode())
    os.umask(0o177)
    destinations = [Destination(*place) for place in places]
    pipe.send(b'{"ready": 1}')
    Forwarder(pipe, destinations).run()


if __name__ == "__main__":
    main()
