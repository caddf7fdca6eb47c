"""The published schema says what this server really answers. Guards programs from a description that is not true.

The framework writes down shapes of bodies and parameters; what the door does for every route is added here: each
refusal is one RFC 9457 problem, and every operation but the open ones needs a session, bound to a key or a browser.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from weighthouse.web.reading import EXACT

REFUSED: dict[str, Any] = {"$ref": "#/components/responses/Refused"}
_BY_FRAMEWORK = ("HTTPValidationError", "ValidationError")

# What web.reading refuses, in the words of JSON Schema.
IN_PATH = "^[^\\u0000-\\u001f\\u007f]*$"
IN_QUERY = "^[^\\u0000]*$"
IN_BODY = "^[^\\u0000-\\u0008\\u000b\\u000e-\\u001f\\u007f]*$"
_IDEMPOTENCY_KEY = {"type": "string", "pattern": "^[\\u0020-\\u007e]{8,128}$"}
_SAYS_MORE = ("pattern", "enum", "const", "format")

_TEXT = {"type": "string"}
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "A refusal (RFC 9457): what, why and the remedy, under a stable `code`. Details depend on it.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "pattern": "^urn:weighthouse:error:[a-z]+\\.[a-z0-9_]+$"},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": _TEXT,
        "code": {"type": "string", "pattern": "^[a-z]+\\.[a-z0-9_]+$"},
        "remedy": _TEXT,
        "request": {"type": "string", "description": "The request's id, also in the server's log."},
        "step_up": {"const": True, "description": "Present if a fresh second factor would answer this refusal."},
    },
    "required": ["type", "title", "status", "detail", "code", "remedy", "request"],
    "additionalProperties": {"type": ["string", "integer", "boolean"]},
}
_SCHEMES: dict[str, Any] = {
    "device": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`DPoP <token>`, with a proof by the session's key in the header `DPoP` (RFC 9449).",
    },
    "browser": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-sid",
        "description": "The console's session; a change also carries `X-CSRF-Token`.",
    },
    "run": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Workload <token>`, over the one socket that only that run has.",
    },
}


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` return the whole truth; it is made when it is first asked for, and kept."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(get_openapi(title=app.title, version=app.version, routes=app.routes))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Add what the door does for every operation to the framework's schema."""
    parts = schema.setdefault("components", {})
    shapes = parts.setdefault("schemas", {})
    for name in _BY_FRAMEWORK:
        shapes.pop(name, None)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for shape in shapes.values():
        _plain(shape, IN_BODY)
    shapes["Problem"] = PROBLEM
    parts["responses"] = {"Refused": {"description": "Refused; nothing was changed.", "content": content}}
    parts["securitySchemes"] = _SCHEMES
    for path, methods in schema.get("paths", {}).items():
        for operation in methods.values():
            _operation(path, operation)
    return schema


def _operation(path: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "Idempotency-Key":
            parameter["schema"] = _IDEMPOTENCY_KEY
        _plain(parameter["schema"], IN_QUERY if parameter["in"] == "query" else IN_PATH)
    operation["responses"].pop("422", None)
    operation["responses"] |= {"4XX": REFUSED, "503": REFUSED}
    needed: list[dict[str, list[str]]] = (
        [{"run": []}] if path.startswith("/workload/") else [{"device": []}, {"browser": []}]
    )
    operation.setdefault("security", needed)


def _plain(shape: Any, pattern: str) -> None:
    """Say of every text and number below `shape` what it may hold, where it does not say it more exactly itself."""
    if isinstance(shape, list):
        for part in shape:
            _plain(part, pattern)
    elif isinstance(shape, dict):
        if shape.get("type") == "string" and not any(word in shape for word in _SAYS_MORE):
            shape["pattern"] = pattern
        if shape.get("type") == "integer":
            if "exclusiveMinimum" not in shape:
                shape.setdefault("minimum", 1 - EXACT)
            if "exclusiveMaximum" not in shape:
                shape.setdefault("maximum", EXACT - 1)
        if isinstance(shape.get("additionalProperties"), dict):
            shape["propertyNames"] = {"pattern": pattern, **shape.get("propertyNames", {})}
        for part in list(shape.values()):
            _plain(part, pattern)
