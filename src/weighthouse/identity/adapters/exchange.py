"""One HTTP exchange with an outside party, bounded in time, bytes and number. Guards the server from a slow provider.

A read timeout alone is renewed by every byte, so that a provider that drips one in a while would hold a thread for
days. Here a watchdog shuts the connection down when the whole exchange has taken too long, whatever was dripped; and
nobody waits longer for the resolver either, which knows no deadline, or for one address of a name after another.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from weighthouse.core.outward import Outward

STEP_S = 2.0  # one connect, one read, one write
WHOLE_S = 5.0
GRACE_S = 0.25  # so that whatever the exchange itself says of its end is heard
_OUTWARD = Outward(24)
_PLAIN = {"accept": "application/json", "accept-encoding": "identity", "connection": "close"}


class Broken(Exception):
    """The exchange did not come to an end; `what` completes "The identity provider ..."."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Watchdog:
    """Shuts one exchange's connection down after `seconds`; httpcore's trace tells it which connection that is."""

    def __init__(self, seconds: float) -> None:
        self._twin: socket.socket | None = None
        self._lock = threading.Lock()
        self._late = False
        self._timer = threading.Timer(seconds, self._bite)
        self._timer.daemon = True

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Keep a duplicate of the socket: it stays valid when TLS takes the socket itself over."""
        if name == "connection.connect_tcp.complete":
            with self._lock:
                self._twin = info["return_value"].get_extra_info("socket").dup()
                if self._late:
                    self._shut()

    def _bite(self) -> None:
        with self._lock:
            self._late = True
            self._shut()

    def _shut(self) -> None:
        if self._twin is not None:
            with contextlib.suppress(OSError):
                self._twin.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Watchdog:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._twin is not None:
                self._twin.close()
                self._twin = None


def send(
    client: httpx.Client,
    method: str,
    url: str,
    *,
    limit: int,
    form: Mapping[str, str] | None = None,
    authorization: str = "",
    whole_s: float = WHOLE_S,
) -> tuple[int, bytes]:
    """Return status and body, of at most `limit` bytes, uncompressed, never redirected; raises `Broken`."""
    headers = {**_PLAIN, **({"authorization": authorization} if authorization else {})}
    began = time.monotonic()

    def exchange() -> tuple[int, bytes]:
        with Watchdog(whole_s) as dog:
            request = client.build_request(method, url, data=form, headers=headers, timeout=STEP_S)
            request.extensions["trace"] = dog.trace
            answer = client.send(request, stream=True, follow_redirects=False)
            with contextlib.closing(answer):
                return answer.status_code, b"".join(_within(answer, limit, began + whole_s))

    try:
        return _OUTWARD.within(whole_s + GRACE_S, exchange)
    except (httpx.HTTPError, OSError) as error:
        raise Broken("cannot be reached") from error
    except (httpx.InvalidURL, ValueError) as error:  # a name that IDNA refuses, half a character: it is no address
        raise Broken("names an address that is none") from error


def _within(answer: httpx.Response, limit: int, end: float) -> Iterator[bytes]:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Broken("compresses its answers, which nobody asked for")  # a few kilobytes would become gigabytes
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > limit:
            raise Broken("sends more than an answer may hold")
        if time.monotonic() > end:
            raise Broken("is too slow")
        yield part
