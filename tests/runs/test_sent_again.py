"""What a run's SDK sends again where the control plane cannot answer, and what it never does.

The server here answers what each test tells it to, over the Unix socket where a run's own way would be.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from weighthouse_sdk.errors import Refused
from weighthouse_sdk.workload import Workload

Answer = tuple[int, dict[str, Any]] | None


class Told(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, answers: list[Answer]) -> None:
        self.answers, self.asked = answers, list[tuple[str, bytes]]()
        super().__init__(str(path), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Told

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer: Answer = (200, {"token": "t"})
        if not self.path.endswith("/token"):
            self.server.asked.append((self.path, body))
            answer = self.server.answers.pop(0)
        if answer is None:  # hang up, with the change done or not
            return
        raw = json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def told(short: Path, *answers: Answer) -> Iterator[tuple[Told, Workload]]:
    (short / "way").unlink(missing_ok=True)
    server = Told(short / "way", list(answers))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server, Workload(short / "way")
    finally:
        server.shutdown()
        server.server_close()


def no(status: int, code: str, **more: Any) -> Answer:
    return status, {"code": code, "detail": "no", "remedy": "wait", **more}


DOWN = no(503, "core.database_unavailable")


def test_a_commit_of_which_nobody_knows_what_became_is_sent_again_unchanged(short: Path) -> None:
    done = (200, {"id": "ver_x"})
    unknown = no(503, "core.outcome_unknown")
    answers = (no(503, "weights.taking"), no(409, "weights.commit_busy", retry_after=1), DOWN, None, unknown, done)
    with told(short, *answers) as (server, workload):
        assert workload._commit("sav_x", b"{}") == {"id": "ver_x"}
    assert server.asked == [("/workload/v1/saves/sav_x/commit", b'{"manifest": "{}"}')] * len(answers)


def test_what_could_not_be_done_is_asked_again_and_what_may_have_been_done_is_not(short: Path) -> None:
    with told(short, DOWN, DOWN, (200, {})) as (server, workload):
        workload.progress(progress=1)
    assert len(server.asked) == 3
    with told(short, no(503, "core.outcome_unknown")) as (server, workload), pytest.raises(Refused) as refusal:
        workload.call("POST", "/workload/v1/saves", {})
    assert refusal.value.code == "core.outcome_unknown" and len(server.asked) == 1


@pytest.mark.parametrize("code", ["weights.already_committed", "weights.bad_shard", "weights.run_over"])
def test_a_refusal_that_stays_is_not_asked_again(short: Path, code: str) -> None:
    with told(short, no(409, code)) as (server, workload), pytest.raises(Refused) as refusal:
        workload._commit("sav_x", b"{}")
    assert refusal.value.code == code and len(server.asked) == 1
