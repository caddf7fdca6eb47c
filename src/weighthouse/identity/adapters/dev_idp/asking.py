"""What a client may ask the development provider for, and the error that everything else is answered with.

Pure: parameters in, error code out (RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6). Nothing is cut to fit or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

LONGEST = 1024
_CLI_HOSTS = frozenset({"127.0.0.1", "::1"})
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def authorization_fault(asked: Mapping[str, str]) -> str:
    """Return the error code for an authorization request, empty if it is code + PKCE S256 + openid and no more."""
    if "request" in asked or "request_uri" in asked:
        return "request_not_supported" if "request" in asked else "request_uri_not_supported"
    if asked.get("response_type", "code") != "code":
        return "unsupported_response_type"
    whole = "response_type" in asked and asked.get("response_mode", "query") == "query"
    proven = asked.get("code_challenge_method") == "S256" and _CHALLENGE.fullmatch(asked.get("code_challenge", ""))
    short = len(asked.get("state", "")) <= LONGEST and len(asked.get("nonce", "")) <= LONGEST
    if not (whole and proven and short):
        return "invalid_request"
    if "openid" not in asked.get("scope", "").split():
        return "invalid_scope"
    # Nobody stays signed in here, so that a request to show no page can only be refused.
    return "login_required" if "none" in asked.get("prompt", "").split() else ""


def token_fault(asked: Mapping[str, str], client_id: str) -> tuple[str, int]:
    """Return error code and status for a token request, ("", 200) if it may be looked at (RFC 6749 5.2)."""
    if asked.get("client_id") != client_id:
        return "invalid_client", 401
    grant = asked.get("grant_type")
    if grant != "authorization_code":
        return ("unsupported_grant_type" if grant else "invalid_request"), 400
    return "", 200


def registered(uri: str, origin: str) -> bool:
    """Whether `uri` is the server's own callback, or a CLI's listener on loopback (RFC 8252 7.3)."""
    if uri == origin + "/callback":
        return True
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    plain = not parts.query and not parts.fragment and parts.username is None and port is not None
    return plain and parts.scheme == "http" and parts.path == "/callback" and parts.hostname in _CLI_HOSTS
