"""Where a person may land after signing in. Guards from open redirects, which turn our origin into a lure.

A return path is a path of this origin: no scheme, no host, no second spelling of a slash, no control character.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from weighthouse.core.errors import Invalid

_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2}){0,1023}")
LOOPBACK = frozenset({"127.0.0.1", "::1"})


def check_return_path(path: str) -> str:
    """Return `path` if it leads to this origin only; raise `identity.bad_return_path` otherwise."""
    settled = unquote(unquote(path))
    odd = any(ord(c) < 32 or ord(c) == 127 or c == "\\" for c in settled)
    if _PATH.fullmatch(path) is None or odd or "//" in settled.split("?", 1)[0]:
        raise Invalid(
            "identity.bad_return_path",
            "The page to return to is not a plain path of this server.",
            "Start again from the console's front page.",
        )
    return path


def check_redirect(uri: str, *, own: str, loopback: bool) -> str:
    """Return `uri` if it is our own callback, or (for a CLI) a loopback address with a port (RFC 8252 section 7.3).

    Raises `identity.bad_redirect`. `own` comes from the settings, never from the Host header.
    """
    if uri == own and not loopback:
        return uri
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK and parts.path == "/callback"
    bare = not parts.query and not parts.fragment and parts.username is None
    if loopback and uri != own and plain and bare and port and uri.isascii():
        return uri
    raise Invalid(
        "identity.bad_redirect",
        "A sign-in returns to this server, or to a CLI's own listener on loopback, and nowhere else.",
        "Use http://127.0.0.1:<port>/callback with a device key.",
    )
