"""The console's own style, scripts and mark, served from memory. Guards against paths that climb out of the folder.

Only files known at start are served, each under an address that holds its digest, so that browsers may keep it for
good and an old page never meets a new script. Integrity attributes let the browser check the script itself.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from weighthouse.core.errors import NotFound

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(msgspec.Struct, frozen=True):
    """One static file: its address, its bytes, its type and its Subresource Integrity value."""

    href: str
    body: bytes
    media_type: str
    integrity: str


class Assets:
    """All static files of the console, read once."""

    def __init__(self, folder: Path) -> None:
        self._by_name: dict[str, Asset] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in _TYPES:
                self._by_name[path.name] = _asset(path)
        self._by_href = {asset.href: asset for asset in self._by_name.values()}

    def __getitem__(self, name: str) -> Asset:
        return self._by_name[name]

    def serve(self, request: Request) -> Response:
        """Answer one file, or 404 for anything that was not in the folder at start."""
        asset = self._by_href.get(request.url.path)
        if asset is None:
            raise NotFound("web.not_found", "There is no such file.", "Reload the page that named it.")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(asset.body, 200, headers, media_type=asset.media_type)


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    digest = hashlib.sha384(body).digest()
    name = hashlib.sha256(body).hexdigest()[:16]
    return Asset(
        href=f"/static/{name}/{path.name}",
        body=body,
        media_type=_TYPES[path.suffix],
        integrity="sha384-" + base64.b64encode(digest).decode(),
    )
