"""For which server a signature is. Guards what this key signs from counting at another server than the one spoken to.

A server names itself by its address and the digest of its log's key. The address is the one that this client speaks
to, whatever the server says; the digest is the one it was made with, or the first that it was told.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from weighthouse_sdk.errors import SdkError

_PORTS = {"http": 80, "https": 443}


def plain(url: str) -> str:
    """Return an address in its one spelling: lower case, no usual port, no slash at its end."""
    parts = urlsplit(url.rstrip("/"))
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def audience_of(url: str, said: Any, log: str) -> str:
    """Return the audience that the server at `url` states, if it is at `url`, and of the log that is known already.

    Raises SdkError `client.no_audience`, `client.other_server`, `client.other_log`.
    """
    if not isinstance(said, str) or "#" not in said:
        raise SdkError(
            "client.no_audience",
            f"{url} does not say which server it is, so nothing is signed for it.",
            "Ask its operator to upgrade it; if they have, it is not the server that you think it is.",
        )
    where, _, digest = said.rpartition("#")
    if where != plain(url):
        raise SdkError(
            "client.other_server",
            f"{url} wants signatures for {where[:200]}; nothing was signed.",
            "Use the address that the server is known by; if you do, tell its security.",
        )
    if not digest or (log and digest != log):
        raise SdkError(
            "client.other_log",
            f"{url} has another log than the one that is known of it: {digest[:60]}, not {log}. Nothing was signed.",
            "Ask an operator, or a colleague's `weighthouse whoami`, for the mark of the log there now, and give it "
            "to `weighthouse login --log MARK`.",
        )
    return said
