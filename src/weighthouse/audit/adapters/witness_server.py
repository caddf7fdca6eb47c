"""A small witness (C2SP tlog-witness) for a machine that the log's administrators do not control.

Guards auditors from a rewritten or split log: it remembers the last checkpoint it cosigned for each log in a file
of its own, checks and replaces it under one lock, and has it on disk before the cosignature leaves.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import witnessing as protocol
from weighthouse.audit.rules.checkpoint import parse_text, sign_note
from weighthouse.audit.rules.note import VerifierKey
from weighthouse.core.clock import SECOND, Clock
from weighthouse.core.errors import Invalid

logger = logging.getLogger("weighthouse.witness")
MAX_BODY = 256 * 1024
Answer = tuple[int, str, bytes]
_PLAIN = "text/plain; charset=utf-8"


class WitnessDesk:
    """The witness without its HTTP: judges submissions and keeps one checkpoint a log in `folder`."""

    def __init__(
        self,
        folder: Path,
        name: str,
        key: Ed25519PrivateKey,
        logs: Sequence[VerifierKey],
        clock: Clock,
    ) -> None:
        self._folder, self._private, self._clock = folder, key, clock
        self.key = VerifierKey(name, notes.COSIGNATURE_ED25519, key.public_key().public_bytes_raw())
        self._logs: Mapping[str, Sequence[VerifierKey]] = {
            origin: [log for log in logs if log.name == origin] for origin in {log.name for log in logs}
        }
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one `add-checkpoint` request: (status, content type, body)."""
        try:
            submission = protocol.parse_submission(body)
        except Invalid as error:
            return 400, _PLAIN, f"{error.message}\n".encode()
        try:
            return self._judge(submission)
        except (OSError, Invalid) as error:
            logger.error("the memory of %s cannot be used: %s", submission.checkpoint.origin, error)
            return 500, _PLAIN, b"the witness's own memory cannot be read or written\n"

    def _judge(self, submission: protocol.Submission) -> Answer:
        with self._lock:  # two requests at once must not roll the memory back
            origin, size = submission.checkpoint.origin, submission.checkpoint.size
            seen = self._seen(origin)
            refusal = protocol.judge(submission, self._logs, seen)
            if refusal is not None:
                if refusal.status != 409:
                    logger.warning("refused %s with %d: %s", origin, refusal.status, refusal.text.strip())
                elif size < seen.size:  # else it is how a log asks where the witness stands, round by round
                    logger.warning("refused %s with 409: it has %d entries, and had %d", origin, size, seen.size)
                kind = protocol.SIZE_TYPE if refusal.status == 409 else _PLAIN
                return refusal.status, kind, refusal.text.encode()
            now = self._clock.now() // SECOND
            mine = sign_note(self.key, self._private.sign, submission.checkpoint, now)
            logs = {(key.name, key.id) for key in self._logs[submission.checkpoint.origin]}
            theirs = tuple(s for s in submission.note.signatures if (s.name, s.key_id) in logs)
            self._persist(submission.checkpoint.origin, str(notes.Note(submission.note.text, (*theirs, mine))))
        return 200, _PLAIN, mine.line().encode()

    def checkpoint(self, origin_hash: str) -> Answer:
        """Answer a monitor's GET of the last cosigned checkpoint of a log, by the hex SHA-256 of its origin."""
        for origin in self._logs:
            if _hash(origin) == origin_hash:
                with contextlib.suppress(FileNotFoundError):
                    return 200, _PLAIN, self._path(origin).read_bytes()
        return 404, _PLAIN, b"never cosigned\n"

    def _path(self, origin: str) -> Path:
        return self._folder / f"{_hash(origin)}.checkpoint"

    def _seen(self, origin: str) -> protocol.Seen:
        try:
            kept = parse_text(notes.parse(self._path(origin).read_bytes()).text)
        except FileNotFoundError:
            return protocol.Seen()
        return protocol.Seen(kept.size, kept.root)

    def _persist(self, origin: str, note: str) -> None:
        path = self._path(origin)
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(note.encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _hash(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()


def server(desk: WitnessDesk, address: tuple[str, int]) -> ThreadingHTTPServer:
    """Return an HTTP server for `desk`, bound but not yet serving; port 0 takes a free one."""

    class Handler(_Handler):
        post = staticmethod(desk.add_checkpoint)
        get = staticmethod(desk.checkpoint)

    return _Server(address, Handler)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to tell; whatever else ends a connection is, in our own log."""
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError | TimeoutError):
            logger.debug("%s hung up: %s", client_address, error)
        else:
            logger.error("a connection of the witness failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    post: Callable[[bytes], Answer]
    get: Callable[[str], Answer]

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        self.close_connection = True  # unless the body was read: what is left of it is no request
        if self.path != "/add-checkpoint":
            self._answer((404, _PLAIN, b"no such call\n"))
        elif re.fullmatch("[0-9]{1,9}", length) is None or int(length) > MAX_BODY:
            self._answer((400, _PLAIN, b"a length up to 256 KiB is required\n"))
        else:
            body = self.rfile.read(int(length))
            self.close_connection = self.headers.get("Connection", "").lower() == "close" or len(body) < int(length)
            self._answer(self.post(body))

    def do_GET(self) -> None:
        parts = self.path.split("/")
        known = len(parts) == 3 and parts[2] == "checkpoint"
        self._answer(self.get(parts[1]) if known else (404, _PLAIN, b"no such call\n"))

    def _answer(self, answer: Answer) -> None:
        status, kind, body = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        logger.debug(format, *args)
