"""Raw bytes against the real HTTP server: whatever arrives is refused cleanly, and the server answers afterwards.

Framing, headers, addresses, bodies and slow senders; knowledge case 30 (duplicate keys, invalid UTF-8, NaN) at the
door. A refusal is one whole HTTP answer below 500, and what was half sent was never acted upon.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time

import pytest

from tests.fuzz.conftest import House

LINE = b"POST /api/v1/login HTTP/1.1\r\n"
JSON = b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Wire:
    """The server, spoken to in bytes."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.host = f"Host: 127.0.0.1:{house.port}\r\n".encode()

    def ask(self, raw: bytes) -> bytes:
        """Send bytes; return what came until the server closed or was quiet for five seconds."""
        with socket.create_connection(("127.0.0.1", self.house.port), timeout=5) as line:
            with contextlib.suppress(ConnectionError):  # it may have refused before all was sent
                line.sendall(raw)
            got = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                while more := line.recv(65_536):
                    got += more
            return got

    def status(self, raw: bytes) -> int:
        answer = self.ask(raw)
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0

    def code(self, raw: bytes) -> tuple[int, str]:
        """Return the status and, where the refusal is a problem of ours, its code."""
        answer = self.ask(raw)
        _, _, body = answer.partition(b"\r\n\r\n")
        status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0
        return status, json.loads(body)["code"] if body.startswith(b"{") else ""

    def get(self, path: bytes, *headers: bytes) -> bytes:
        return b"GET " + path + b" HTTP/1.1\r\n" + self.host + CLOSE + b"".join(headers) + b"\r\n"

    def post(self, body: bytes, *headers: bytes) -> bytes:
        length = b"Content-Length: %d\r\n" % len(body)
        return LINE + self.host + CLOSE + (b"".join(headers) or JSON) + length + b"\r\n" + body

    def framed(self, rest: bytes, *headers: bytes) -> bytes:
        """A request whose length and body are `rest`, byte for byte."""
        return LINE + self.host + CLOSE + JSON + b"".join(headers) + rest

    def well(self) -> None:
        """The server answers an honest request, and met no error that nobody foresaw."""
        assert self.code(self.get(b"/api/v1/me")) == (401, "identity.no_credential")
        assert self.house.surprised() == []


@pytest.fixture(scope="module")
def wire(house: House) -> Wire:
    return Wire(house)


@pytest.mark.parametrize(
    ("rest", "status", "code"),
    [
        (CHUNKED + b"\r\n2\r\n{}\r\nZZ\r\n", 400, "web.body_cut_off"),
        (CHUNKED + b"\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n", 400, "web.body_cut_off"),
        (CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n", 400, "web.body_cut_off"),
        (b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "web.bad_framing"),
        (b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}", 400, ""),
        (b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, ""),
        (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400, ""),
        (b"Content-Length: -2\r\n\r\n{}", 400, ""),
        (b"Content-Length: +2\r\n\r\n{}", 400, ""),
        (b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}", 400, ""),
        (b"Content-Length: " + b"9" * 18 + b"\r\n\r\n{}", 413, "web.body_too_large"),
        (
            CHUNKED + b"\r\n" + b"ffff\r\n" + b"x" * 65_535 + b"\r\nffff\r\n" + b"x" * 65_535,
            413,
            "web.body_too_large",
        ),
    ],
)
def test_a_body_whose_length_is_a_riddle_is_refused(wire: Wire, rest: bytes, status: int, code: str) -> None:
    assert wire.code(wire.framed(rest)) == (status, code)
    wire.well()


def test_a_request_does_not_hide_in_the_body_of_another(wire: Wire) -> None:
    hidden = b"GET /api/v1/me HTTP/1.1\r\n" + wire.host + b"\r\n"
    both = b"Content-Length: 4\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + hidden
    assert wire.ask(LINE + wire.host + JSON + both).count(b"HTTP/1.1 ") <= 1
    wire.well()


def test_an_order_that_was_cut_off_is_not_carried_out(wire: Wire) -> None:
    """The body so far is a whole form or a whole object, but its sender never said that it was all."""
    chi = wire.house.headers("chi")
    headers = "".join(f"{name}: {value}\r\n" for name, value in chi.items()).encode()
    order = json.dumps({"subject": "model/tern", "reason": "A hold that was cut off."}).encode()
    start = b"POST /api/v1/holds HTTP/1.1\r\n" + wire.host + CLOSE + headers + JSON
    for raw in (
        start + CHUNKED + b"\r\n%x\r\n" % len(order) + order + b"\r\nZZ\r\n",
        start + b"Content-Length: %d\r\n\r\n" % (len(order) + 1) + order,
    ):
        with socket.create_connection(("127.0.0.1", wire.house.port), timeout=5) as line:
            line.sendall(raw)
            line.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while line.recv(65_536):
                    pass
        assert wire.house.facts("access.HoldPlaced") == []
    whole = start + b"Content-Length: %d\r\n\r\n" % len(order) + order
    assert wire.status(whole) == 201
    assert len(wire.house.facts("access.HoldPlaced")) == 1


def test_headers_without_measure_are_refused(wire: Wire) -> None:
    for headers in (b"X: " + b"a" * 2_000_000 + b"\r\n", b"X: " + b"a" * 300_000 + b"\r\n", b"X: a\r\n" * 5_000):
        assert wire.status(wire.get(b"/api/v1/me", headers)) == 431
    assert wire.status(wire.get(b"/" + b"a" * 70_000)) in (414, 431)
    wire.well()


@pytest.mark.parametrize("header", [b"X: a\x00b\r\n", b"X: a\r\n b\r\n", b"X\r\n", b"X y: a\r\n", b": a\r\n"])
def test_a_malformed_header_is_refused(wire: Wire, header: bytes) -> None:
    assert wire.status(wire.get(b"/api/v1/me", header)) == 400
    wire.well()


@pytest.mark.parametrize(
    "doubled", [b"Host: evil.example\r\n", JSON * 2, b"Origin: x\r\n" * 2, b"Accept: a\r\nAccept: b\r\n"]
)
def test_case_30_a_header_that_comes_twice_is_not_chosen_from(wire: Wire, doubled: bytes) -> None:
    assert wire.code(wire.post(b"{}", doubled)) == (400, "web.doubled_header")


@pytest.mark.parametrize(
    "host", [b"evil.example", b"127.0.0.1", b"", b"127.0.0.1:1@evil.example", b"127.0.0.1:80:80"]
)
def test_another_host_is_not_served(wire: Wire, host: bytes) -> None:
    raw = b"GET /api/v1/me HTTP/1.1\r\nHost: " + host + b"\r\n" + CLOSE + b"\r\n"
    forwarded = b"X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n"
    assert wire.status(raw) in (400, 421)
    assert b"evil" not in wire.ask(wire.get(b"/sign-in", forwarded, b"Accept: text/html\r\n"))


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        (b"/api/v1/../../etc/passwd", {404}),
        (b"/static/%2e%2e/%2e%2e/model.py", {404}),
        (b"/static/..%2f..%2fmodel.py", {404}),
        (b"/static/%252e%252e/model.py", {404}),
        (b"/static/..\\..\\model.py", {400, 404}),
        (b"//api//v1//me", {404}),
        (b"//evil.example/%2e%2e", {404}),
        (b"/api/v1/me;admin=1", {404}),
        (b"/api/v1/me/", {404}),
        (b"/api/v1/me%20", {404}),
        (b"/API/V1/ME", {404}),
        ("/api/v1/mе".encode(), {400, 404}),  # a Cyrillic look-alike
        (b"/workload/v1/token", {404}),
        (b"/%77orkload/v1/token", {404}),
        (b"/api/v1/weights/versions/a%00b", {400}),
        (b"/api/v1/weights/versions/a%0d%0aSet-Cookie:%20x=y", {400}),
        (b"/api/v1/weights/versions/%ff%fe", {400}),
        (b"/api/v1/weights/versions/%c0%ae%c0%ae", {400}),  # an overlong spelling of ..
        (b"/api/v1/weights/versions/\xff\xfe", {400}),
        (b"/api/v1/\x00me", {400}),
        (b"/api/v1/search?q=%00", {400}),
        (b"/api/v1/search?q=%ff", {400}),
        (b"/api/v1/search?q=a&q=b", {400}),
        (b"/api/v1/search?q=a&%71=b", {400}),
        (b"*", {404}),
    ],
)
def test_an_address_with_a_trick_leads_nowhere(wire: Wire, path: bytes, statuses: set[int]) -> None:
    answer = wire.ask(wire.get(path))
    assert int(answer.split(b" ", 2)[1]) in statuses, answer[:300]
    assert (
        b"root:" not in answer and b"\r\nset-cookie" not in answer.lower() and b"\r\nlocation" not in answer.lower()
    )
    wire.well()


@pytest.mark.parametrize(
    "method", [b"TRACE", b"BREW", b"CONNECT", b"PROPFIND", b"get", b"PUT", b"DELETE", b"OPTIONS"]
)
def test_a_method_that_is_not_there_is_refused(wire: Wire, method: bytes) -> None:
    raw = wire.get(b"/api/v1/me").replace(b"GET", method, 1)
    answer = wire.ask(raw)
    assert int(answer.split(b" ", 2)[1]) in (400, 404, 405), answer[:200]
    assert b" 405 " not in answer or b"\r\nallow: GET\r\n" in answer


@pytest.mark.parametrize("raw", [bytes(range(256)) * 20, b"\x16\x03\x01\x00\xa5\x01" + bytes(200), b"GET /\r\n"])
def test_what_is_no_http_is_dropped(wire: Wire, raw: bytes) -> None:
    assert wire.status(raw) in (0, 400)
    wire.well()


def test_a_refused_method_names_all_that_the_address_has(wire: Wire) -> None:
    assert b"\r\nallow: GET, POST\r\n" in wire.ask(wire.get(b"/api/v1/requests").replace(b"GET", b"PUT", 1))


def test_another_protocol_is_not_spoken(wire: Wire) -> None:
    """HTTP/2 in the clear would have limits of its own, and a websocket would outlive its session."""
    assert wire.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")[:5] in (b"", b"HTTP/")
    upgrade = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    asking = wire.get(b"/api/v1/me", upgrade).replace(b"Connection: close", b"Connection: Upgrade, close")
    assert wire.status(asking) in (400, 401)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a":1,"a":2}', "web.bad_json"),
        (b'{"a":{"b":1,"\\u0062":2}}', "web.bad_json"),
        (b'{"a":NaN}', "web.bad_json"),
        (b'{"a":-Infinity}', "web.bad_json"),
        (b'{"a":1e999}', "web.bad_json"),
        (b'{"a":9007199254740993}', "web.bad_json"),
        (b'{"a":' + b"9" * 5_000 + b"}", "web.bad_json"),
        (b'{"a":"\\ud800"}', "web.bad_json"),
        (b'{"\\udfff":1}', "web.bad_json"),
        (b'{"a":"\\u0000"}', "web.bad_json"),
        (b'{"a":"\xff"}', "web.bad_json"),
        (b'{"a":"\xed\xa0\x80"}', "web.bad_json"),  # a surrogate in CESU-8
        (b'\xef\xbb\xbf{"a":1}', "web.bad_json"),
        ('{"a":1}'.encode("utf-16"), "web.bad_json"),
        (b"[" * 60_000, "web.bad_json"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "web.bad_json"),
        (b"[" * 33 + b"]" * 33, "web.bad_json"),
        (b"{'a':1}", "web.bad_json"),
        (b"{} {}", "web.bad_json"),
        (b"{", "web.bad_json"),
        (b"[" * 32 + b"]" * 32, "web.invalid_body"),
        (b"[]", "web.invalid_body"),
        (b"null", "web.invalid_body"),
        (b'{"redirect_uri":7,"device_jwk":[]}', "web.invalid_body"),
        (b'{"__proto__":{},"redirect_uri":"x"}', "web.invalid_body"),
    ],
)
def test_case_30_json_that_has_two_readings_or_none_is_refused(wire: Wire, body: bytes, code: str) -> None:
    assert wire.code(wire.post(body)) == (422 if code == "web.invalid_body" else 400, code)
    wire.well()


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain",
        b"application/xml",
        b"multipart/form-data; boundary=x",
        b"application/x-yaml",
        b"application/jsonp",
        b"",
        b"\xff",
    ],
)
def test_a_body_of_another_kind_is_not_guessed_at(wire: Wire, kind: bytes) -> None:
    assert wire.code(wire.post(b'{"a":1}', b"Content-Type: " + kind + b"\r\n")) == (415, "web.media_type")


def test_many_who_only_wait_do_not_shut_the_door(wire: Wire) -> None:
    """Slow headers and idle connections: three hundred at once, and an honest request is answered beside them."""
    with contextlib.ExitStack() as held:
        for at in range(300):
            line = held.enter_context(socket.create_connection(("127.0.0.1", wire.house.port), timeout=5))
            line.sendall(b"" if at % 3 == 0 else b"GET / HT" if at % 3 == 1 else LINE + wire.host)
        wire.well()
    wire.well()


def test_many_bodies_that_drip_do_not_shut_the_door_and_end_in_time(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    house = House(tmp_path_factory.mktemp("slow"), **{"web.body_seconds": 2})
    wire = Wire(house)
    try:
        with contextlib.ExitStack() as held:
            lines = [
                held.enter_context(socket.create_connection(("127.0.0.1", house.port), timeout=20)) for _ in range(60)
            ]
            for line in lines:
                line.sendall(wire.framed(b"Content-Length: 60000\r\n\r\n{"))
            started = time.monotonic()
            wire.well()
            first = lines[0].recv(65_536)
            assert b" 408 " in first and b"web.body_too_slow" in first
            assert time.monotonic() - started > 1  # it was given its time
        wire.well()
    finally:
        house.close()
