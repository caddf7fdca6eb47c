"""The body limit at its own door: what is declared too large is never read, what hides its length is cut off."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from weighthouse.web.body import BodyLimit

LIMIT = 1_000


class Line:
    """One request on the wire: pieces that arrive, answers that leave, and what the application behind saw."""

    def __init__(
        self, pieces: list[bytes], headers: list[tuple[bytes, bytes]], path: str = "/api/v1/x", *, limit: int = LIMIT
    ) -> None:
        self._pieces, self.taken, self._limit = pieces, 0, limit
        self.sent: list[dict[str, Any]] = []
        self.seen: bytes | None = None
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": headers,
            "query_string": b"",
            "state": {},
        }

    async def _receive(self) -> dict[str, Any]:
        piece = self._pieces[self.taken]
        self.taken += 1
        return {"type": "http.request", "body": piece, "more_body": self.taken < len(self._pieces)}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def _behind(self, _scope: Any, receive: Any, _send: Any) -> None:
        self.seen = (await receive())["body"]

    def run(self) -> Line:
        limit = BodyLimit(self._behind, self._limit, {"/api/v1/large": 3 * LIMIT}, seconds=60)
        asyncio.run(limit(self._scope, self._receive, self._send))  # type: ignore[arg-type]
        return self


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_read() -> None:
    line = Line([b"x" * 10], [(b"content-length", b"1001")]).run()
    assert (line.taken, line.seen, line.sent[0]["status"]) == (0, None, 413)
    assert json.loads(line.sent[1]["body"])["code"] == "web.body_too_large"


def test_a_body_that_grows_past_the_limit_is_cut_off_there() -> None:
    line = Line([b"x" * 400] * 50, []).run()
    assert (line.taken, line.seen, line.sent[0]["status"]) == (3, None, 413)


def test_a_length_that_lies_or_is_no_number_gains_nothing() -> None:
    for said in (b"10", b"-1", b"1e9", b""):
        line = Line([b"x" * 400] * 50, [(b"content-length", said)]).run()
        assert (line.seen, line.sent[0]["status"]) == (None, 413), said


def test_what_fits_passes_whole_and_some_paths_may_be_larger() -> None:
    assert Line([b"x" * 600, b"y" * 400], []).run().seen == b"x" * 600 + b"y" * 400
    assert Line([b"x" * 2_000], [], "/api/v1/large/one").run().seen == b"x" * 2_000


def test_a_body_of_more_names_than_any_request_has_is_not_parsed() -> None:
    body = json.dumps({f"{number:x}": 0 for number in range(10_001)}).encode()
    line = Line([body], [], limit=len(body)).run()
    assert (line.seen, line.sent[0]["status"]) == (None, 400)
    assert json.loads(line.sent[1]["body"])["code"] == "web.too_many_fields"
    form = [(b"content-type", b"application/x-www-form-urlencoded")]
    assert Line([body], form, limit=len(body)).run().seen == body
