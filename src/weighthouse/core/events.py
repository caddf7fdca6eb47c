"""What a fact looks like. Rooms subclass `Event` in their own `events.py`; the audit log is the only event bus.

Guards later readers: an event is frozen, versioned and holds no float, and personal clear text is declared as such so
that it never enters a leaf of the log.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that a room publishes in the same transaction as the change it tells of.

    `KIND` is `room.PastTenseName`; `VERSION` rises when a field changes meaning; fields named in `PERSONAL` (people's
    names, free text, addresses) are stored as salted commitments; `SUBJECT` names the field that holds the id the
    fact is about. A `GRAVE` fact cannot be undone, or opens what was shut: it may happen only while the log takes
    entries, so that nobody brings the log to a halt first and acts in its shadow.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1
    PERSONAL: ClassVar[frozenset[str]] = frozenset()
    SUBJECT: ClassVar[str] = ""
    GRAVE: ClassVar[bool] = False

    def data(self) -> dict[str, Any]:
        """Return the fields as plain JSON-ready values."""
        built = msgspec.to_builtins(self)
        assert isinstance(built, dict)
        return built

    def subject(self) -> str:
        """Return the id this fact is about, or an empty text."""
        return str(getattr(self, self.SUBJECT)) if self.SUBJECT else ""
