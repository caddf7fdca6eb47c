"""A provider that hangs, drips, bursts or is down: it costs a bounded time and a bounded number of threads, no more."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.identity import forge
from tests.identity.support import Lab
from weighthouse.core.clock import DAY, SECOND
from weighthouse.core.errors import Unavailable
from weighthouse.identity.adapters.exchange import Broken, send
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.oidc import SLOTS

BODY = b'{"keys": [' + b" " * 40 + b"]}"
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
WHOLE = HEAD + BODY
DRIP_S = 0.05
Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def provider() -> Iterator[Serve]:
    """A socket on loopback that treats each connection as told."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(treat: Callable[[socket.socket], None]) -> str:
        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        treat(connection)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/keys"

    yield serve
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(timeout=30)


def dripping(start: int, finished: list[int]) -> Callable[[socket.socket], None]:
    """Answer rightly, but byte by byte from `start` on: each comes well before a read would time out."""

    def treat(connection: socket.socket) -> None:
        connection.sendall(WHOLE[:start])
        for place in range(start, len(WHOLE)):
            if threading.Event().wait(DRIP_S):
                return
            connection.sendall(WHOLE[place : place + 1])
        finished.append(start)

    return treat


@pytest.mark.parametrize(
    ("start", "said"),
    [
        pytest.param(0, "cannot be reached", id="status line"),
        pytest.param(20, "cannot be reached", id="headers"),
        pytest.param(len(HEAD), "cannot be reached|too slow", id="body"),
    ],
)
def test_identity_case_20_an_answer_that_drips_ends_with_the_whole_time(
    provider: Serve, start: int, said: str
) -> None:
    finished: list[int] = []
    with httpx.Client() as client, pytest.raises(Broken, match=said):
        send(client, "GET", provider(dripping(start, finished)), limit=100, whole_s=DRIP_S)
    assert not finished, "the exchange went on until the provider was done"


def test_an_answer_in_good_time_is_read(provider: Serve) -> None:
    with httpx.Client() as client:
        assert send(client, "GET", provider(lambda one: one.sendall(WHOLE)), limit=100) == (200, BODY)


def test_identity_case_20_a_compressed_answer_is_not_opened(provider: Serve) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with httpx.Client() as client, pytest.raises(Broken, match="compresses"):
        send(client, "GET", provider(lambda one: one.sendall(head + bomb)), limit=512 * 1024)


def test_a_hanging_provider_holds_sixteen_requests_and_the_next_hears_no_at_once(lab: Lab) -> None:
    transport = forge.Misbehaving(InProcess(lab.app))
    provider = lab.use_provider(transport, lab.wanted)
    provider.profile()
    hanging, release, waiting = threading.Semaphore(0), threading.Event(), []

    def hang(_request: httpx.Request) -> httpx.Response:
        hanging.release()
        release.wait()
        return httpx.Response(503)

    def redeem() -> None:
        with pytest.raises(Unavailable):
            provider.redeem(code="c", verifier="v", redirect_uri="r")

    transport.instead = hang
    for _ in range(SLOTS):
        waiting.append(threading.Thread(target=redeem))
        waiting[-1].start()
        hanging.acquire()
    with pytest.raises(Unavailable, match="too many wait"):
        provider.redeem(code="c", verifier="v", redirect_uri="r")
    release.set()
    for thread in waiting:
        thread.join()
    transport.instead = lambda request: None
    assert lab.browser().get("/login").status_code == 303


def test_a_provider_that_is_down_is_asked_once_in_five_seconds_whoever_knocks(lab: Lab) -> None:
    transport = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(transport, lab.wanted)
    transport.instead = lambda request: httpx.Response(503) if "well-known" in request.url.path else None
    browser = lab.browser()
    for _ in range(20):
        answer = browser.get("/login", accept="application/json")
        assert (answer.status_code, answer.json()["code"]) == (503, "identity.provider_unavailable")
    assert len(transport.asked) == 1
    lab.clock.advance(5 * SECOND)
    transport.instead = lambda request: None
    assert browser.get("/login").status_code == 303
    assert len(transport.asked) == 2


def test_what_the_provider_said_is_asked_again_after_a_day_and_stands_while_it_is_down(lab: Lab) -> None:
    transport = forge.Misbehaving(InProcess(lab.app))
    provider = lab.use_provider(transport, lab.wanted)
    provider.profile()
    transport.instead = lambda request: httpx.Response(503)
    lab.clock.advance(DAY)
    provider.profile()
    provider.profile()
    assert len(transport.asked) == 2


def test_an_issuer_that_ends_in_a_slash_is_asked_at_the_right_place(lab: Lab) -> None:
    wanted = lab.wanted.__class__(issuer="https://idp.example/", account_issuer="x", client_id="c")
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(404)

    with pytest.raises(Unavailable):
        lab.use_provider(httpx.MockTransport(answer), wanted).profile()
    assert asked == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize("first", ["who it is", "its keys"])
def test_those_who_waited_for_a_provider_that_hung_share_its_outcome(lab: Lab, first: str) -> None:
    transport = forge.Misbehaving(InProcess(lab.app))
    provider = lab.use_provider(transport, lab.wanted)
    if first == "its keys":
        provider.profile()
    reached, release, asked = threading.Event(), threading.Event(), len(transport.asked)

    def hang(_request: httpx.Request) -> httpx.Response:
        reached.set()
        release.wait()
        lab.clock.advance(6 * SECOND)  # an exchange ends after five at the latest, and whoever waited is late as well
        return httpx.Response(503)

    def ask() -> None:
        with pytest.raises(Unavailable):
            provider.profile() if first == "who it is" else provider.key("k")

    transport.instead = hang
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    assert reached.wait(30)
    while provider._slots._value > SLOTS - len(threads):  # until every one of them waits
        threading.Event().wait(0.01)
    release.set()
    for one in threads:
        one.join()
    assert len(transport.asked) == asked + 1, "each waited for an exchange of its own"


def test_a_provider_that_failed_once_a_day_after_the_start_is_asked_again_in_seconds(lab: Lab) -> None:
    transport = forge.Misbehaving(InProcess(lab.app))
    provider = lab.use_provider(transport, lab.wanted)
    provider.profile()
    lab.clock.advance(DAY)
    transport.instead = lambda request: httpx.Response(503)
    provider.profile()
    transport.instead = lambda request: None
    lab.clock.advance(5 * SECOND)
    provider.profile()
    provider.profile()
    assert len(transport.asked) == 3, "once at the start, once in vain, and once more"
