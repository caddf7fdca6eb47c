"""One root error, so that every refusal says what, why and the remedy, and carries a stable code.

Guards callers from tracebacks and half-answers. An error may carry `record`: facts (refusals are facts too) that are
committed even though the transaction that raised it rolls back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from weighthouse.core.events import Event

Detail = str | int | bool


class WeighthouseError(Exception):
    """The root of every error this software raises on purpose.

    `code` is stable and documented (`room.snake_case`), `message` says what happened and why, `remedy` what to do.
    The HTTP status is chosen at the door from `kind`, never in a room.
    """

    kind: ClassVar[str] = "internal"

    def __init__(
        self, code: str, message: str, remedy: str, *, record: Sequence[Event] = (), **details: Detail
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.record: tuple[Event, ...] = tuple(record)
        self.details: Mapping[str, Detail] = details

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r})"


class Invalid(WeighthouseError):
    """The input is malformed; nothing changed."""

    kind = "invalid"


class Unauthenticated(WeighthouseError):
    """We do not know who is asking, or not freshly enough."""

    kind = "unauthenticated"


class Denied(WeighthouseError):
    """We know who is asking, and the answer is no."""

    kind = "denied"


class NotFound(WeighthouseError):
    """It does not exist, or the caller may not know that it does."""

    kind = "not_found"


class Conflict(WeighthouseError):
    """The state has moved on; somebody else was first, or the step is not possible now."""

    kind = "conflict"


class TooMany(WeighthouseError):
    """A budget or a rate is used up."""

    kind = "too_many"


class Unavailable(WeighthouseError):
    """A part is down, unknown or not to be trusted; the answer is no until it is back."""

    kind = "unavailable"
