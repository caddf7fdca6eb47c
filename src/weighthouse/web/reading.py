"""A request that has more than one reading is refused before any of it is read.

Guards rooms, databases and the log from parsers that disagree: a header, a parameter or an object key that comes
twice (whichever the next reader picks is the attacker's choice), text that is no Unicode, control characters that a
log line or a database would choke on, numbers that no exact integer holds, nesting that exhausts the stack.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from weighthouse.core.errors import Invalid, WeighthouseError
from weighthouse.web.problems import refuse

# Headers that this house reads, and that mean one thing or nothing. Credentials have the identity room's own rule.
SINGLE = frozenset(
    (
        b"host",
        b"content-type",
        b"content-length",
        b"transfer-encoding",
        b"origin",
        b"sec-fetch-site",
        b"x-csrf-token",
        b"idempotency-key",
        b"accept",
    )
)
MAX_DEPTH = 32
MAX_FIELDS = 1_000
EXACT = 2**53
_CONTROL = re.compile("[\x00-\x1f\x7f]")  # the path goes into the server's own log, line by line
# In a body, line ends, tabs and form feeds are what people write (source code too); the rest is not.
_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_FORM_WITH_FILES = "multipart/form-data"
_FILES_AT = frozenset({"/runs/new"})  # the one form that takes files: the code of a run, as text


class Unsupported(WeighthouseError):
    """The body is of a kind that this server does not read; the status is 415."""

    kind = "media_type"


class OneReading:
    """Checks the headers, the address and the body (already read and limited) of each request.

    `outside` are path prefixes of foreign parties mounted here (the dev IdP), which answer in their own words.
    """

    def __init__(self, app: ASGIApp, outside: tuple[str, ...] = ()) -> None:
        self._app = app
        self._outside = outside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not (self._outside and scope["path"].startswith(self._outside)):
            try:
                check(scope, scope["state"].get("body", b""))
            except WeighthouseError as error:
                await refuse(scope, receive, send, error)
                return
        await self._app(scope, receive, send)


def check(scope: Scope, body: bytes) -> None:
    """Raise `web.doubled_header`, `web.bad_framing`, `web.bad_address`, `web.media_type`, `web.bad_*`."""
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    _once(headers)
    _framing(dict(headers))
    _address(scope)
    if body:
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        text = kind.decode("latin-1")
        if text.lower().startswith(_FORM_WITH_FILES) and scope["path"] in _FILES_AT:
            _check_parts(text, body)
        else:
            _body(text.split(";")[0].strip().lower(), body)


async def known_parameters(request: Request) -> None:
    """Refuse a parameter that the endpoint does not know (`web.unknown_parameter`): a filter misspelt is none.

    A page ignores it: what a link carries besides is the reader's own.
    """
    route = request.scope.get("route")
    if isinstance(route, APIRoute) and request.url.path.startswith("/api/"):
        known = {one.alias for one in route.dependant.query_params}
        strange = sorted(set(request.query_params) - known)
        if strange:
            near = difflib.get_close_matches(strange[0], known, 1)
            raise Invalid(
                "web.unknown_parameter",
                "The address names a parameter that this endpoint does not have, so nothing was answered.",
                f"Did you mean '{near[0]}'?" if near else "The API reference lists the parameters of each address.",
            )


def _once(headers: list[tuple[bytes, bytes]]) -> None:
    seen = [name for name, _ in headers if name in SINGLE]
    if len(seen) != len(set(seen)):
        raise Invalid(
            "web.doubled_header",
            "A header that may come once came twice; neither value is believed.",
            "Send it once. If a proxy adds it, let the proxy replace what the client sent.",
        )


def _framing(headers: dict[bytes, bytes]) -> None:
    # Two lengths, or a coding that one hop undoes and another does not, let a second request hide in the body of the
    # first (RFC 9112, 6.1 and 11.2).
    coding = headers.get(b"transfer-encoding")
    if (coding is not None and coding.strip().lower() != b"chunked") or (coding and b"content-length" in headers):
        raise Invalid(
            "web.bad_framing",
            "The request tells the length of its body in two ways, or in one that only some readers know.",
            "Send Content-Length, or Transfer-Encoding: chunked, and nothing beside it.",
        )


def _address(scope: Scope) -> None:
    path = unquote_to_bytes(scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape"))
    query: bytes = scope["query_string"]
    try:
        control = _CONTROL.search(path.decode())
        pairs = _pairs(query)
    except ValueError:
        _bad_address("is not Unicode (UTF-8)")
    # A parameter's other control characters are refused, escaped or quoted by the room that knows what it is.
    if control or any("\x00" in part for pair in pairs for part in pair):
        _bad_address("has a control character in it")
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        _bad_address("gives one parameter twice")


def _bad_address(what: str) -> NoReturn:
    raise Invalid(
        "web.bad_address", f"The address of the request {what}.", "Send each parameter once, as plain text."
    )


def _pairs(text: bytes) -> list[tuple[str, str]]:
    """Return the fields of a query or form; raise ValueError if a name or value is not UTF-8."""
    found = (part.partition(b"=") for part in text.split(b"&") if part)
    return [(_plain(name), _plain(value)) for name, _, value in found]


def _plain(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode()


def _body(kind: str, body: bytes) -> None:
    if kind == _JSON:
        _json(body)
    elif kind == _FORM:
        _form(body)
    else:
        raise Unsupported(
            "web.media_type",
            "The body is neither JSON nor a plain form, so it was not read.",
            f"Send `Content-Type: {_JSON}`; weights never pass through the control plane.",
        )


def _form(body: bytes) -> None:
    try:
        pairs = _pairs(body)
    except ValueError:
        _bad_form("is not Unicode (UTF-8)")
    names = [name for name, _ in pairs]
    if len(names) > MAX_FIELDS or len(names) != len(set(names)):
        _bad_form("gives one field twice, or too many fields")
    if any(_CONTROL_IN_TEXT.search(part) for pair in pairs for part in pair):
        _bad_form("has a control character in it")


def parts(kind: str, body: bytes) -> list[tuple[str, bool, bytes]]:
    """Return (name, whether it is a file, content) of each part of a form with files, or raise `web.bad_form`.

    RFC 7578, and of it only what browsers send: one boundary, one disposition and at most one type for each part.
    """
    found = re.fullmatch(r'multipart/form-data;\s*boundary="?([A-Za-z0-9\'()+_,./:=?-]{1,70})"?', kind, re.IGNORECASE)
    if found is None:
        _bad_form("names no boundary between its parts")
    mark = b"--" + found[1].encode()
    pieces = body.split(b"\r\n" + mark)
    if not pieces[0].startswith(mark) or pieces[-1] not in (b"--", b"--\r\n") or len(pieces) > MAX_FIELDS:
        _bad_form("does not begin and end with its boundary, or has too many parts")
    pieces[0] = pieces[0].removeprefix(mark)
    read = [_PART.fullmatch(piece) for piece in pieces[:-1]]
    if not all(read):
        _bad_form("has a part that is not one field or one file")
    return [(one["name"].decode("latin-1"), one["file"] is not None, one["content"]) for one in read if one]


_PART = re.compile(
    rb'\r\nContent-Disposition: form-data; name="(?P<name>[a-z_]{1,40})"(?P<file>; filename="[^"\r\n]{0,255}")?'
    rb"(?:\r\nContent-Type: [!-~ ]{1,100})?\r\n\r\n(?P<content>.*)",
    re.IGNORECASE | re.DOTALL,
)


def _check_parts(kind: str, body: bytes) -> None:
    for _, is_file, content in parts(kind, body):
        try:
            text = "" if is_file else content.decode()
        except ValueError:
            _bad_form("is not Unicode (UTF-8)")
        if _CONTROL_IN_TEXT.search(text):
            _bad_form("has a control character in it")


def _bad_form(what: str) -> NoReturn:
    raise Invalid("web.bad_form", f"The form {what}.", "Send each field once, as plain text.")


def _json(body: bytes) -> None:
    try:
        # Bytes would be guessed at (UTF-16, UTF-32) and a byte order mark dropped; RFC 8259 knows UTF-8 alone.
        value = json.loads(body.decode(), object_pairs_hook=_keys_once, parse_constant=_no_constant, parse_int=_exact)
    except RecursionError:
        _bad_json(f"is nested more than {MAX_DEPTH} levels deep")
    except ValueError:
        _bad_json("cannot be read as JSON (RFC 8259) in UTF-8")
    _walk(value)


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _bad_json("names one key of an object twice")
    return found


def _no_constant(name: str) -> NoReturn:
    _bad_json(f"holds {name}, which is not JSON")


def _exact(digits: str) -> int:
    if len(digits) > 17 or not -EXACT < int(digits) < EXACT:
        _bad_json("holds a whole number beyond 2^53, which not every reader keeps exact")
    return int(digits)


def _walk(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        _texts(level)
        level = [part for item in level for part in _inside(item)]
        if not level:
            return
    _bad_json(f"is nested more than {MAX_DEPTH} levels deep")


def _inside(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return (*item.keys(), *item.values())
    return item if isinstance(item, list) else ()


def _texts(level: list[object]) -> None:
    for item in level:
        if isinstance(item, float) and item in (float("inf"), float("-inf")):
            _bad_json("holds a number too large for any reader")
        if isinstance(item, str):
            if _CONTROL_IN_TEXT.search(item):
                _bad_json("has a control character in a text")
            if not item.isascii() and any("\ud800" <= letter <= "\udfff" for letter in item):
                _bad_json("has half a character (a lone surrogate) in a text")


def _bad_json(what: str) -> NoReturn:
    raise Invalid("web.bad_json", f"The body {what}.", "Send one JSON value as RFC 8259 and RFC 7493 (I-JSON) say.")
