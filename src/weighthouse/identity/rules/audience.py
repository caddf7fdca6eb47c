"""The name of one deployment. Guards what a device key signs from counting at another server than it was signed for.

It is the address that people know the server by and the digest of its log's key: the client knows the address by
itself, since it speaks to it, and the digest tells two deployments at one address apart.
"""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def named(origin: str, key: str) -> str:
    """The audience `ORIGIN#LOG` of the server at `origin` whose log has the verifier key `key`."""
    digest = hashlib.sha256(key.encode()).digest()
    return f"{plain(origin)}#{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def plain(origin: str) -> str:
    """An origin in its one spelling: lower case, no usual port, no slash at its end."""
    parts = urlsplit(origin.rstrip("/"))
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def log_of(audience: str) -> str:
    """The digest of the log's key that an audience names."""
    return audience.rpartition("#")[2]
