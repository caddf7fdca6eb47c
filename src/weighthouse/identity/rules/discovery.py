"""What an OpenID provider says of itself, read with types. Guards sign-in from JSON of any shape.

Every member is judged before it is used: a null, a number or half a character where a text belongs is the provider's
mistake, told by name, and never an error nobody foresaw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_URL = 2_048


class Endpoints(msgspec.Struct, frozen=True):
    """What discovery told us."""

    authorization: str
    token: str
    jwks: str
    announces_iss: bool
    pushed: str = ""
    """Where authorization requests are pushed to (RFC 9126); empty where the provider takes none."""
    end_session: str = ""


class Unfit(ValueError):
    """The document cannot be used; the text completes "The identity provider ..."."""


def read_discovery(found: Mapping[str, Any], issuer: str) -> Endpoints:
    """Return the endpoints of `issuer`'s document; raises Unfit."""
    if found.get("issuer") != issuer:
        raise Unfit("calls itself by another name than identity.issuer")
    authorization, token, jwks = (
        _address(found.get(name), name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    )
    methods = found.get("code_challenge_methods_supported")
    if methods is not None and (not isinstance(methods, list) or "S256" not in methods):
        raise Unfit("does not know PKCE with S256")
    announces = found.get("authorization_response_iss_parameter_supported") is True
    pushed = _optional(found, "pushed_authorization_request_endpoint")
    if found.get("require_pushed_authorization_requests") is True and not pushed:
        raise Unfit("demands pushed authorization requests and names no address for them")
    return Endpoints(authorization, token, jwks, announces, pushed, _optional(found, "end_session_endpoint"))


def _optional(found: Mapping[str, Any], name: str) -> str:
    """The address that a provider announces, empty if it announces none; one that is unusable is not overlooked."""
    return _address(found[name], name) if found.get(name) is not None else ""


def _address(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > MAX_URL:
        raise Unfit(f"names no usable address as its {name}")
    try:
        parts = urlsplit(value)
        local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        usable = bool(parts.hostname) and parts.port != 0 and parts.username is None and " " not in value
        if parts.hostname and "xn--" in parts.hostname:
            parts.hostname.encode("ascii").decode("idna")
    except ValueError:
        raise Unfit(f"names no usable address as its {name}") from None
    if parts.scheme != "https" and not local:
        raise Unfit("wants to be spoken to without TLS")
    if not usable or parts.fragment:  # RFC 6749 3.1 and 3.2: an endpoint may have a query, and no fragment
        raise Unfit(f"names no usable address as its {name}")
    return value


def with_query(url: str, query: Mapping[str, str]) -> str:
    """Return `url` asked with `query`. What it carries already stays (RFC 6749 3.1), except under a name of ours."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in query]
    return urlunsplit(parts._replace(query=urlencode([*kept, *query.items()])))
