"""The listener that waits for the browser to come back (RFC 8252). Guards the answer from other users of the machine.

It binds to 127.0.0.1 on a free port, takes one answer at one path, and closes. The answer alone is useless: only the
holder of the device's key can redeem it.
"""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from weighthouse_sdk.errors import SdkError

WAIT_S = 600
_PAGE = b"<!doctype html><title>Signed in</title><p>You may close this window and go back to your terminal."


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        waiting = self.server
        assert isinstance(waiting, _Server)
        pairs = parse_qsl(parts.query, max_num_fields=16)
        if parts.path != "/callback" or not pairs or len(dict(pairs)) != len(pairs):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.end_headers()
        self.wfile.write(_PAGE)
        waiting.answers.append(dict(pairs))
        waiting.arrived.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        """Say nothing: the address that the base class would print holds the code."""


class _Server(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[dict[str, str]] = []
        self.arrived = threading.Event()


class Listener:
    """Opens the browser and returns what comes back; usable for both walks of one sign-in."""

    def __init__(self, open_browser: Callable[[str], object] | None = None) -> None:
        self._open = open_browser or webbrowser.open
        self._server = _Server()
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_port}/callback"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="sign-in")

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def walk(self, url: str) -> dict[str, str]:
        """Open `url` in the browser and wait for the answer. Raises `client.sign_in_timeout`."""
        self._server.arrived.clear()
        self._open(url)
        if not self._server.arrived.wait(WAIT_S):
            raise SdkError("client.sign_in_timeout", "Nobody came back from the sign-in page.", "Sign in again.")
        return self._server.answers.pop()
