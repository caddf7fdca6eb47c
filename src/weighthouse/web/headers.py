"""Security headers on every answer, and one fresh nonce a request. Guards pages from injected script and framing.

The policy starts from nothing: no inline script or style, no other host, no plug-in, no frame. Trusted Types are
required and no policy may be made (`trusted-types 'none'`), so that no script of ours can turn text into markup even
by mistake. An answer that brings its own policy keeps it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weighthouse.core import journal
from weighthouse.core.ids import new_id

_BARE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

# Every power of a browser that no page here uses. `clipboard-write` stays: a button copies a proof.
_POWERS = (
    "accelerometer", "autoplay", "browsing-topics", "camera", "clipboard-read", "display-capture", "encrypted-media",
    "fullscreen", "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone",
    "midi", "payment", "picture-in-picture", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-DNS-Prefetch-Control": "off",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{power}=()" for power in _POWERS),
}


def page_policy(nonce: str, form_targets: tuple[str, ...]) -> str:
    """Return the Content-Security-Policy (CSP level 3) of one page."""
    forms = " ".join(("'self'", *form_targets))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            f"form-action {forms}",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


class SecurityHeaders:
    """The outermost layer: makes the nonce and the request id, and stamps the answer on its way out."""

    def __init__(
        self, app: ASGIApp, form_targets: tuple[str, ...], secure: bool, proof_nonce: Callable[[], str]
    ) -> None:
        self._app = app
        self._proof_nonce = proof_nonce
        self._form_targets = form_targets
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["nonce"] = nonce = secrets.token_urlsafe(18)
        state["request_id"] = request_id = new_id("rqs")
        journal.REQUEST.set(request_id)  # of this request's own task: what is logged in it names it

        proves = any(name == b"dpop" for name, _ in scope["headers"])

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                self._stamp(headers, nonce)
                headers["X-Request-Id"] = request_id
                if proves:  # RFC 9449, 8.2: the next proof is made after this, so that nobody asks for it again
                    headers["DPoP-Nonce"] = self._proof_nonce()
            await send(message)

        await self._app(scope, receive, stamped)

    def _stamp(self, headers: MutableHeaders, nonce: str) -> None:
        for name, value in _ALWAYS.items():
            headers.setdefault(name, value)
        page = headers.get("content-type", "").startswith("text/html")
        headers.setdefault("Content-Security-Policy", page_policy(nonce, self._form_targets) if page else _BARE)
        headers.setdefault("Cache-Control", "no-store")
        if self._secure:
            headers.setdefault("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
