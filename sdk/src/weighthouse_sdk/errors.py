"""The one family of errors the SDK raises, so that a caller needs one `except` and an attacker learns one thing.

A code is stable (`room.snake_case`), the message says what and why, the remedy says what to do next. No error
carries key material or plaintext, and a failed tag never says which bit was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OWN = frozenset({"type", "title", "status", "detail", "instance", "code", "remedy", "request"})


class SdkError(Exception):
    """Root of everything this package raises on purpose."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class FloeError(SdkError):
    """An encrypted file is not what its key and its context say it should be."""


class FormatError(SdkError):
    """Bytes do not follow the strict form this package accepts."""


class ManifestError(SdkError):
    """A manifest, its signature or its binding to a version does not hold."""


class CheckpointError(SdkError):
    """A checkpoint cannot be saved or loaded as asked."""


class Refused(SdkError):
    """The control plane answered no; `status` is the HTTP status, `code` the server's own code.

    `details` holds what else the problem says (RFC 9457, section 3.2), such as what is missing, by name.
    """

    def __init__(
        self, code: str, message: str, remedy: str, status: int, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(code, message, remedy)
        self.status = status
        self.details = dict(details or {})


def extra(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a problem that are its own, beside those that every problem has."""
    return {name: value for name, value in problem.items() if name not in _OWN}
