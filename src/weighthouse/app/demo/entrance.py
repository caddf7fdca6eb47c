"""The single-use link of the demo: a page with the people one can be, opened once, on loopback only."""

from __future__ import annotations

import hmac
import secrets
import threading
from html import escape

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from weighthouse.app.provider import dev_secret, people
from weighthouse.core.work import System
from weighthouse.identity.adapters.dev_idp.people import STEP, totp_code

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Weighthouse demo: who you can be</title><link rel="stylesheet" href="/static/console.css">
<main><h1>Who you can be</h1>
<p>This page opens once. Keep it open: you type these at the development identity provider. A code can be used once
and changes every 30 seconds; the next ones are listed. These are demo accounts: they protect nothing.</p>
<p><a class="button" href="/login" target="_blank" rel="noopener">Sign in</a></p>
<table><caption>Demo accounts</caption><thead><tr><th scope="col">Account</th><th scope="col">Person</th>
<th scope="col">Password</th><th scope="col">Codes, a new one every 30 s</th></tr></thead>
<tbody>{rows}</tbody></table>
</main></html>"""
GONE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Used</title><main>
<h1>This link has been used</h1>
<p>The demo prints one link a start, and it opens once. Press Enter in the demo's terminal for a new one.</p>
</main></html>"""
CODES = 20


class Entrance:
    """Makes links and honours each once."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._token = ""
        self._lock = threading.Lock()
        self.application = Starlette(routes=[Route("/{token}", self._open)])

    def link(self, url: str) -> str:
        """Return a fresh link; the one before it stops working."""
        with self._lock:
            self._token = secrets.token_urlsafe(24)
            return f"{url}/demo/{self._token}"

    async def _open(self, request: Request) -> Response:
        with self._lock:
            good = bool(self._token) and hmac.compare_digest(self._token, request.path_params["token"])
            self._token = "" if good else self._token
        if not good:
            return HTMLResponse(GONE, 410)
        return HTMLResponse(
            PAGE.format(rows=await run_in_threadpool(self._rows)), headers={"Cache-Control": "no-store"}
        )

    def _rows(self) -> str:
        rows = []
        for subject, person in sorted(people(self._system).items()):
            secret = dev_secret(self._system, subject)
            here = self._system.clock.now() // STEP
            codes = " ".join(totp_code(secret.totp, here + n) for n in range(CODES))
            cells = (subject, person.name, secret.password, codes)
            rows.append("<tr>" + "".join(f"<td><code>{escape(cell)}</code></td>" for cell in cells) + "</tr>")
        return "".join(rows)
